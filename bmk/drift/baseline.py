"""What a converge left on a host, signed with a key that no host has, in the journal with its history.

A signature covers the host's name, a counter and the body, so a row that was given another host's name is refused. The
body names the installation: the seals of one that was replaced are history. The newest counter of each host is also in
a file beside the key: an older journal that was put back is seen.

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
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bmk.drift.facts import FACTS
from bmk.drift.facts.files import MANIFEST_PATH, keeps_text
from bmk.drift.model import Attributes, Facts
from bmk.errors import PreflightRefused
from bmk.journal import Journal
from bmk.journal.installation import installation, installations
from bmk.paths import private_dir

SCHEMA = 4  # of what is sealed and signed; a host with an older seal is sealed again
_UNBOUND = 2  # the last schema whose signatures covered the body alone
_UNNAMED = 3  # the last one whose seals do not say of which installation they are
_KEPT = 20  # seals of one host in the journal
_COLUMNS = "host, counter, at, digest, signature, body, schema, installation"


@dataclass(frozen=True, slots=True)
class Baseline:
    """`sections` as in the manifest: name -> {inputs, items}; `at` in seconds since the epoch."""

    host: str
    at: float
    digest: str
    sections: Mapping[str, Any] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    schema: int = SCHEMA
    installation: str = ""


def make(host: str, digest: str, manifest: Mapping[str, Any], facts: Facts, texts: Facts) -> Baseline:
    """A baseline of what was read now. Pure but for the time."""
    recorded = {fact.name: fact.baseline(facts.get(fact.name, {})) for fact in FACTS if fact.baseline is not None}
    kept = {path: str(t["text"]) for path, t in texts.items() if keeps_text(path)}
    return Baseline(host, time.time(), digest, dict(manifest.get("sections", {})), recorded, kept)


def renewed(old: Baseline | None, new: Baseline, suspicious: Iterable[str]) -> tuple[Baseline, list[str]]:
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
    if MANIFEST_PATH in new.facts.get("files", {}) and not forged:  # each converge writes it; its sections count
        facts["files"][MANIFEST_PATH] = new.facts["files"][MANIFEST_PATH]
    texts = dict(new.texts)
    for path, now in new.texts.items():
        if facts["files"].get(path, {}) != new.facts["files"].get(path, {}):
            texts[path] = old.texts.get(path, now)
    texts |= {path: text for path, text in old.texts.items() if path not in texts and path in facts["files"]}
    return Baseline(new.host, new.at, new.digest, sections, facts, texts), forged


def _renewed(
    kind: str, old: Baseline, items: Mapping[str, Attributes], doubtful: set[str], digest: str
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


def store(journal: Journal, seal: Baseline) -> None:
    """Sign it, as one of the installation that is there now, and keep it, with its history.

    Killed before the counter is on disk, the seal counts all the same.
    """
    seal = replace(seal, installation=installation(journal, seal.host))
    packed = zlib.compress(json.dumps(asdict(seal), sort_keys=True).encode())
    with journal.transaction() as db:
        count = "SELECT coalesce(max(counter), 0) FROM baselines WHERE host = ?"
        counter = max(db.execute(count, (seal.host,)).fetchone()[0], _counters(journal).get(seal.host, 0)) + 1
        signed = _signature(journal, _bound(seal.host, counter, packed))
        row = (seal.host, counter, seal.at, seal.digest, signed, packed, seal.schema, seal.installation)
        db.execute(f"INSERT INTO baselines ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?)", row)  # noqa: S608 - a constant
        kept = "SELECT id FROM baselines WHERE host = ? ORDER BY id DESC LIMIT ?"
        db.execute(f"DELETE FROM baselines WHERE host = ? AND id NOT IN ({kept})", (seal.host, seal.host, _KEPT))  # noqa: S608
    _count(journal, seal.host, counter)


def newest(journal: Journal, host: str) -> Baseline | None:
    """The seal that counts; None when there is none of the present installation.

    Raises PreflightRefused when the newest is not ours, of another host, or older than the last.
    """
    query = (
        "SELECT counter, signature, body, schema FROM baselines WHERE host = ? ORDER BY counter DESC, id DESC LIMIT 1"
    )
    rows, last = journal.query(query, (host,)), _counters(journal).get(host, 0)
    if not rows and not last:
        return None
    counter, signature, packed, schema = rows[0] if rows else (0, "", b"", SCHEMA)
    if schema <= _UNBOUND and not last:
        return _present(journal, _opened(journal, host, signature, packed, zlib.decompress(packed)))
    if counter < last:
        raise PreflightRefused(
            f"the newest seal of this host is number {counter}, number {last} was made",
            where=host,
            why="an older journal was put back, or somebody removed seals from it",
            hint="provision this host again: that makes a new one",
        )
    return _present(journal, _opened(journal, host, signature, packed, _bound(host, counter, packed)))


def _present(journal: Journal, seal: Baseline) -> Baseline | None:
    """None for what an installation left that was replaced: history, however well it is signed."""
    if seal.schema <= _UNNAMED:
        began = (journal.facts(seal.host).get("installed") or {}).get("at", 0.0)
        return seal if seal.at >= began else None
    return seal if seal.installation == installation(journal, seal.host) else None


def history(journal: Journal, host: str) -> list[tuple[float, str]]:
    """When a host was sealed, and with which digest; newest first."""
    return [(at, digest) for at, digest in journal.query(
        "SELECT at, digest FROM baselines WHERE host = ? ORDER BY id DESC", (host,))]  # fmt: skip


def signed_at(journal: Journal) -> dict[str, float]:
    """When the present installation of each host was sealed last, with all that is sealed nowadays."""
    now = installations(journal)
    query = "SELECT host, installation, max(at) FROM baselines WHERE schema = ? GROUP BY host, installation"
    return {host: at for host, of, at in journal.query(query, (SCHEMA,)) if of == now.get(host, "")}


def _opened(journal: Journal, host: str, signature: str, packed: bytes, signed: bytes) -> Baseline:
    if not hmac.compare_digest(signature, _signature(journal, signed)):
        raise PreflightRefused(
            "the seal of this host was not signed here for this host: what it says is not believed",
            where=host,
            why="somebody wrote to the journal, or seal.key is that of another deployer",
            hint="provision this host again: that makes a new one",
        )
    return Baseline(**json.loads(zlib.decompress(packed)))


def _bound(host: str, counter: int, packed: bytes) -> bytes:
    """What a signature covers."""
    return b"%s\0%d\0" % (host.encode(), counter) + packed


def _signature(journal: Journal, signed: bytes) -> str:
    return hmac.new(_key(journal.state / "seal.key"), signed, hashlib.sha256).hexdigest()


def _counters(journal: Journal) -> dict[str, int]:
    """Number of the newest seal of each host. Outside of the journal, which the boot service may write too."""
    path = journal.state / "seal.counters"
    try:
        return {str(host): int(counter) for host, counter in json.loads(path.read_text()).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError, TypeError) as error:
        raise PreflightRefused(
            "the numbers of the newest seals cannot be read", where=str(path), why=str(error),
            hint="put the file back from a backup; without it, remove it and provision all hosts",
        ) from None  # fmt: skip


def _count(journal: Journal, host: str, counter: int) -> None:
    path = journal.state / "seal.counters"
    with journal.transaction():  # one writer at a time, also of other processes
        counters = _counters(journal)
        counters[host] = max(counter, counters.get(host, 0))
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".seal-", delete=False) as own:
            json.dump(counters, own)
            own.flush()
            os.fsync(own.fileno())
        Path(own.name).replace(path)


def _key(path: Path) -> bytes:
    """Made on first use, for the owner only; two runs that make it at once agree on one."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        private_dir(path.parent)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".seal-") as own:  # for its owner only
            own.write(os.urandom(32))
            own.flush()
            with suppress(FileExistsError):
                os.link(own.name, path)
        return path.read_bytes()
