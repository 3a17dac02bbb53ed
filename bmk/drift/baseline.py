"""Signed baselines: what a converge left on a host, signed with a key that no host has, in the journal with history.

The signature covers the host's name, a counter and the body, so a row that was given another host's name is refused.
The body names the installation: baselines of one that was replaced are history. The newest counter of each host is also
in a file beside the key, so an older journal that was restored is detected.

A baseline holds the sections of the host's manifest (what roles wanted), the facts of that moment (what nobody
declared: versions, users, listeners, what kubeadm wrote) and the texts of configuration files. The host cannot change
it afterwards, not by the next converge either: a section whose input is the same keeps its items, and what was
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
from bmk.journal.records import InstallationRecord
from bmk.paths import private_dir

SCHEMA = 4  # of what is recorded and signed; a host with an older one gets a new baseline
_UNBOUND = 2  # the last schema whose signatures covered the body alone
_UNNAMED = 3  # the last one whose baselines do not name their installation
_KEPT = 20  # baselines of one host in the journal
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
    """The baseline to keep after another converge, and the sections whose record the host has forged.

    `suspicious` are items (`kind:id`) that differed when the converge began: they keep what the old baseline has of
    them, so that a converge never approves what an intruder left. With the same digest roles wanted nothing new, so the
    old baseline stays but for items that it does not know.
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


def store(journal: Journal, baseline: Baseline) -> None:
    """Sign it, as one of the present installation, and add it to the history.

    It counts even when bmk is killed before the counter is on disk.
    """
    baseline = replace(baseline, installation=installation(journal, baseline.host))
    host, body = baseline.host, json.dumps(asdict(baseline), sort_keys=True)
    packed = zlib.compress(body.encode())
    with journal.transaction() as db:
        count = "SELECT coalesce(max(counter), 0) FROM baselines WHERE host = ?"
        counter = max(db.execute(count, (host,)).fetchone()[0], _counters(journal).get(host, 0)) + 1
        signed = _signature(journal, _signed_bytes(host, counter, packed))
        row = (host, counter, baseline.at, baseline.digest, signed, packed, baseline.schema, baseline.installation)
        db.execute(f"INSERT INTO baselines ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?)", row)  # noqa: S608 - a constant
        kept = "SELECT id FROM baselines WHERE host = ? ORDER BY id DESC LIMIT ?"
        db.execute(f"DELETE FROM baselines WHERE host = ? AND id NOT IN ({kept})", (host, host, _KEPT))  # noqa: S608 - constant text
    _count(journal, host, counter)


def newest(journal: Journal, host: str) -> Baseline | None:
    """The baseline that counts; None when there is none of the present installation.

    Raises PreflightRefused when the newest is not signed here, is of another host, or is older than the last.
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
            f"the newest baseline of this host is number {counter}, number {last} was signed",
            where=host,
            why="an older journal was restored, or somebody removed baselines from it",
            hint="provision this host again: that signs a new one",
        )
    return _present(journal, _opened(journal, host, signature, packed, _signed_bytes(host, counter, packed)))


def valid(journal: Journal, host: str) -> Baseline | None:
    """The baseline that counts; None also when the newest is refused."""
    try:
        return newest(journal, host)
    except PreflightRefused:
        return None


def _present(journal: Journal, baseline: Baseline) -> Baseline | None:
    """None for a baseline of an installation that was replaced: it is history, although its signature is right."""
    if baseline.schema <= _UNNAMED:
        installed = InstallationRecord.load(journal, baseline.host)
        return baseline if installed is None or baseline.at >= installed.at else None
    return baseline if baseline.installation == installation(journal, baseline.host) else None


def history(journal: Journal, host: str) -> list[tuple[float, str]]:
    """When each baseline of a host was signed (seconds since the epoch), and its digest; newest first."""
    return [(at, digest) for at, digest in journal.query(
        "SELECT at, digest FROM baselines WHERE host = ? ORDER BY id DESC", (host,))]  # fmt: skip


def signed_at(journal: Journal) -> dict[str, float]:
    """When the newest baseline of each host was signed; of its present installation and of the present schema only."""
    now = installations(journal)
    query = "SELECT host, installation, max(at) FROM baselines WHERE schema = ? GROUP BY host, installation"
    return {host: at for host, of, at in journal.query(query, (SCHEMA,)) if of == now.get(host, "")}


def _opened(journal: Journal, host: str, signature: str, packed: bytes, signed: bytes) -> Baseline:
    if not hmac.compare_digest(signature, _signature(journal, signed)):
        raise PreflightRefused(
            "the baseline of this host was not signed here for this host, so it does not count",
            where=host,
            why="somebody wrote to the journal, or seal.key is that of another deployer",
            hint="provision this host again: that signs a new one",
        )
    return Baseline(**json.loads(zlib.decompress(packed)))


def _signed_bytes(host: str, counter: int, packed: bytes) -> bytes:
    """What a signature covers."""
    return b"%s\0%d\0" % (host.encode(), counter) + packed


def _signature(journal: Journal, signed: bytes) -> str:
    return hmac.new(_key(journal.state / "seal.key"), signed, hashlib.sha256).hexdigest()


def _counters(journal: Journal) -> dict[str, int]:
    """Number of the newest baseline of each host. Not in the journal, which the boot service may write too."""
    path = journal.state / "seal.counters"
    try:
        return {str(host): int(counter) for host, counter in json.loads(path.read_text()).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError, TypeError) as error:
        raise PreflightRefused(
            "the numbers of the newest baselines cannot be read", where=str(path), why=str(error),
            hint="restore the file from a backup; without one, remove it and provision all hosts",
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
