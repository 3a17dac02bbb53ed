"""What a converge left on a host, signed with a key that no host has, in the journal with its history.

A seal holds the sections of the host's manifest (what roles wanted), the facts of the moment (what nobody declared:
versions, users, listeners, what kubeadm wrote) and the texts of configuration files. The host cannot change it
afterwards, and not by the next converge either: a section whose input is the same keeps its items, and what was
different when the converge began stays different (see `renewed`).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import tempfile
import time
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from bmk.drift.model import Attributes, Facts
from bmk.drift.watched import FILES, LOOSE, LOOSE_BELOW, NO_TEXT, SEALED
from bmk.errors import PreflightRefused
from bmk.journal import Journal

SCHEMA = 2  # of what is sealed; a host with an older seal is sealed again
MANIFEST = "/etc/bmk/manifest.json"
_KEPT = 20  # seals of one host in the journal


@dataclass(frozen=True, slots=True)
class Seal:
    """`sections` as in the manifest: name -> {inputs, items}; `at` in seconds since the epoch."""

    host: str
    at: float
    digest: str
    sections: Mapping[str, Any] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    schema: int = SCHEMA


def make(host: str, digest: str, manifest: Mapping[str, Any], facts: Facts, texts: Facts) -> Seal:
    """A seal of what was seen now. Pure but for the time."""
    known: dict[str, Mapping[str, Attributes]] = {
        kind: _kept(items, SEALED[kind]) for kind, items in facts.items() if kind in SEALED
    }
    files: dict[str, Attributes] = {path: _loosened(path, a) for path, a in facts.get("files", {}).items()}
    known["files"] = files | {path: {"type": "absent"} for path in FILES if path not in files}
    known["listeners"] = dict(facts.get("listeners", {}))
    known["units"] = _kept(facts.get("units", {}), ("masked", "drop_ins"))
    known["clock"] = dict(facts.get("clock", {}))
    kept = {path: str(t["text"]) for path, t in texts.items() if keeps_text(path)}
    return Seal(host, time.time(), digest, dict(manifest.get("sections", {})), known, kept)


def renewed(old: Seal | None, new: Seal, suspicious: Iterable[str]) -> tuple[Seal, list[str]]:
    """The seal to keep after another converge, and the sections whose record the host has changed.

    `suspicious` are items (`kind:id`) that differed when the converge began: what was sealed of them stays, so that
    a converge never blesses what an intruder left. With the same digest nothing was wanted anew, so nothing changes but
    what the old seal does not know.
    """
    if old is None:
        return new, []
    forged = [
        name
        for name, section in new.sections.items()
        if name in old.sections
        and old.sections[name]["inputs"] == section["inputs"]
        and old.sections[name]["items"] != section["items"]
    ]
    sections = {name: old.sections[name] if name in forged else s for name, s in new.sections.items()}
    doubtful = set(suspicious)
    facts = {kind: _renewed(kind, old, items, doubtful, new.digest) for kind, items in new.facts.items()}
    if MANIFEST in new.facts.get("files", {}) and not forged:  # each converge writes it: its sections were compared
        facts["files"][MANIFEST] = new.facts["files"][MANIFEST]
    texts = dict(new.texts)
    for path, now in new.texts.items():
        if facts["files"].get(path, {}) != new.facts["files"].get(path, {}):
            texts[path] = old.texts.get(path, now)
    texts |= {path: text for path, text in old.texts.items() if path not in texts and path in facts["files"]}
    return Seal(new.host, new.at, new.digest, sections, facts, texts), forged


def _renewed(
    kind: str, old: Seal, items: Mapping[str, Attributes], doubtful: set[str], digest: str
) -> dict[str, Attributes]:
    before = old.facts.get(kind)
    if before is None:
        return dict(items)
    if old.digest == digest and kind != "files":
        return dict(before)
    names = {*items, *before}
    kept = {name for name in names if f"{kind}:{name}" in doubtful}
    if old.digest == digest:  # files that roles write come from the sections; of the others the old ones count
        kept |= set(before)
    return {n: before[n] for n in names & kept if n in before} | {n: items[n] for n in names - kept if n in items}


def keeps_text(path: str) -> bool:
    """Whether the deployer may keep what is in a file."""
    return not any(fnmatchcase(path, pattern) for pattern in NO_TEXT)


def _kept(items: Mapping[str, Attributes], names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    return {name: {a: value for a, value in attributes.items() if a in names} for name, attributes in items.items()}


def _loosened(path: str, attributes: Attributes) -> dict[str, Any]:
    loose = path in LOOSE or path.startswith(tuple(f"{p}/" for p in LOOSE_BELOW))
    return {name: value for name, value in attributes.items() if not (loose and name == "sha256")}


def store(journal: Journal, seal: Seal) -> None:
    """Sign it and keep it, with its history."""
    body = json.dumps(asdict(seal), sort_keys=True)
    row = (seal.host, seal.at, seal.digest, _signature(journal, body), zlib.compress(body.encode()), seal.schema)
    with journal.transaction() as db:
        db.execute("INSERT INTO seals (host, at, digest, signature, body, schema) VALUES (?,?,?,?,?,?)", row)
        old = "SELECT id FROM seals WHERE host = ? ORDER BY id DESC LIMIT -1 OFFSET ?"
        db.execute(f"DELETE FROM seals WHERE id IN ({old})", (seal.host, _KEPT))  # noqa: S608 - a constant


def newest(journal: Journal, host: str) -> Seal | None:
    """The seal that counts. Raises PreflightRefused when its signature is not ours."""
    rows = journal.query("SELECT signature, body FROM seals WHERE host = ? ORDER BY id DESC LIMIT 1", (host,))
    return _opened(journal, host, *rows[0]) if rows else None


def history(journal: Journal, host: str) -> list[tuple[float, str]]:
    """When a host was sealed, and with which digest; newest first."""
    return [(at, digest) for at, digest in journal.query(
        "SELECT at, digest FROM seals WHERE host = ? ORDER BY id DESC", (host,))]  # fmt: skip


def sealed(journal: Journal) -> dict[str, float]:
    """When each host was sealed last, with all that is sealed nowadays."""
    return dict(journal.query("SELECT host, max(at) FROM seals WHERE schema = ? GROUP BY host", (SCHEMA,)))


def _opened(journal: Journal, host: str, signature: str, packed: bytes) -> Seal:
    body = zlib.decompress(packed).decode()
    if not hmac.compare_digest(signature, _signature(journal, body)):
        raise PreflightRefused(
            "the seal of this host was not signed here: what it says is not believed",
            where=host,
            why="somebody wrote to the journal, or seal.key is that of another deployer",
            hint="provision this host again: that makes a new one",
        )
    return Seal(**json.loads(body))


def _signature(journal: Journal, body: str) -> str:
    return hmac.new(_key(journal.path.with_name("seal.key")), body.encode(), hashlib.sha256).hexdigest()


def _key(path: Path) -> bytes:
    """Made on first use, for the owner only; two runs that make it at once agree on one."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".seal-") as own:  # for its owner only
            own.write(os.urandom(32))
            own.flush()
            with suppress(FileExistsError):
                os.link(own.name, path)
        return path.read_bytes()
