"""What a backup is made of: asked of a control plane by one program, and the journal of the deployer beside it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmk.backup.archive import unpack
from bmk.backup.manifest import ABOUT, FILES, LARGEST_FILE, OPTIONAL, REQUIRED, SNAPSHOT, EtcdState
from bmk.backup.refusal import refused
from bmk.backup.snapshot import state
from bmk.journal import Journal

PROGRAM = ("python3", "-I", "-B", "-")  # on the control plane; reads what `program` returns
_ON_NODE = Path(__file__).with_name("on_node.py")
_WORK = "/var/lib/bmk/backup"
_TABLES = ("events", "records", "runs", "grants", "baselines")


@dataclass(frozen=True, slots=True)
class MemberRequest:
    """How a member of etcd is asked on its host: words of `etcdctl` with endpoint and keys, and the path of `etcdutl`.

    `largest` in bytes; `root` and `work` are for tests, which have no host of their own.
    """

    etcdctl: Sequence[str]
    etcdutl: str = "/usr/local/bin/etcdutl"
    largest: int = 8 << 30
    seconds: int = 1800
    root: str = ""
    work: str = _WORK


def program(wish: MemberRequest) -> bytes:
    """The program, for the standard input of `PROGRAM`. It holds no secret."""
    asked = {
        "etcdctl": list(wish.etcdctl), "etcdutl": wish.etcdutl, "largest": wish.largest, "seconds": wish.seconds,
        "root": wish.root, "work": wish.work, "file": LARGEST_FILE,
        "required": list(REQUIRED), "optional": list(OPTIONAL),
    }  # fmt: skip
    return f"{_ON_NODE.read_text()}\n\nsys.exit(take(json.loads({json.dumps(json.dumps(asked))})))\n".encode()


def most_said(wish: MemberRequest) -> int:
    """Bytes that the program may say at most."""
    return wish.largest + (len(FILES) + 4) * (LARGEST_FILE + 1024)


def receive(read: Callable[[int], bytes], root: Path, wish: MemberRequest) -> EtcdState:
    """Keep what the program says below `root`. Raises BackupRefused when it is not what the program says."""

    def most(name: str) -> int | None:
        if name == SNAPSHOT:
            return wish.largest + wish.largest // 4
        return LARGEST_FILE if name == ABOUT or name in FILES else None

    found = unpack(read, root, most)
    if missing := sorted({ABOUT, SNAPSHOT, *(f"files{path}" for path in REQUIRED)} - set(found)):
        raise refused("incomplete", ", ".join(missing))
    return state((root / ABOUT).read_bytes())


def copy_journal(journal: Journal, path: Path) -> None:
    """The journal as JSON lines: the name of a table and a row of it. The same for either database."""
    with path.open("x", encoding="utf-8") as file:
        for table, row in _rows(journal):
            file.write(json.dumps({"table": table, "row": [_plain(value) for value in row]}) + "\n")


def _rows(journal: Journal) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for table in _TABLES:
        for row in journal.query(f"SELECT * FROM {table}"):  # noqa: S608 - constants
            yield table, row


def _plain(value: Any) -> Any:
    return base64.b64encode(bytes(value)).decode() if isinstance(value, bytes | memoryview) else value
