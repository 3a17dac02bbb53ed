"""The record of one installation of a host. A new one begins a new record: what is known of the one before is history.

History is kept (events, findings that are gone, baselines) and never applied to what is there now. Records are of the
installation unless they are named here as the machine's, so a kind of record that is new ends with it by itself.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Mapping
from typing import Any

from bmk.journal.records import MaintenanceRecord, ProofRecord, ReinstallOrder, ReinstallProgress
from bmk.journal.store import Journal

OF_THE_MACHINE = frozenset(
    {"identity", "inspection", "inventory", "bmc_log", "tpm_accepted", "tpm_seen", "measured"}
    | {ReinstallProgress.KEY, MaintenanceRecord.KEY}
)


def installation(journal: Journal, host: str) -> str:
    """Which installation a host has now, by the host keys that it made and that are pinned; "" for none."""
    return _named(journal.facts(host).get("host_keys"))


def installations(journal: Journal) -> dict[str, str]:
    """`installation` of every host that has one."""
    return {host: _named(keys) for host, keys in journal.records("host_keys").items()}


def proven_hosts(journal: Journal) -> set[str]:
    """Hosts whose present installation was seen to work, and is not to be replaced."""
    return ProofRecord.load_all(journal).keys() - ReinstallOrder.load_all(journal).keys()


def begin(journal: Journal, host: str, known: Mapping[str, Any]) -> None:
    """A new installation, of which this is known (`installed`, `host_keys`): all of it or nothing."""
    with journal.transaction():
        close(journal, host, OF_THE_MACHINE)
        for key, value in known.items():
            journal.record(host, key, value)


def close(journal: Journal, name: str, but: Collection[str] = ()) -> None:
    """End the record of a host or a cluster: its facts, except those in `but`, are forgotten; findings are history."""
    with journal.transaction() as db:
        for key in journal.facts(name).keys() - set(but):
            journal.forget(name, key)
        db.execute('UPDATE drift SET gone = ? WHERE "where" = ? AND gone IS NULL', (time.time(), name))
        db.execute('DELETE FROM drift_standing WHERE "where" = ?', (name,))


def finish_reinstall(journal: Journal, host: str) -> None:
    """This host is done. With the last of those that were ordered together, the order is carried out."""
    with journal.transaction():
        mine = ReinstallProgress.load(journal, host)
        if mine is None:
            return
        mine.model_copy(update={"done": True}).save(journal, host)
        others = ReinstallProgress.load_all(journal)
        together = [name for name in mine.hosts if name in others and others[name].hosts == mine.hosts]
        if all(others[name].done for name in together):
            for name in {host, *together}:
                ReinstallProgress.drop(journal, name)


def _named(keys: Any) -> str:
    return hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest() if keys else ""
