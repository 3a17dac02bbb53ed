"""Facts of BMCs for drift, all hosts at once; and which log entries were known when the first baseline was signed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from bmk.bmc import conversation
from bmk.bmc.protocol import Bmc, Identity, LogEntry
from bmk.datacenter.resolve import Host
from bmk.drift.model import Trouble
from bmk.drift.outside.bmc import bad_entries, bmc_facts, desired_bmc
from bmk.drift.scan import Outside
from bmk.errors import BmkError
from bmk.identity import same_serial, same_uuid
from bmk.journal import Journal

AT_ONCE = 32
_RECORD = "bmc_log"  # of the journal: {at, known}

Connect = Callable[[Host], Bmc]


def ask(connect: Connect, journal: Journal, host: Host) -> Outside:
    """Who the machine is, whether it is on, what it would boot next, and what went wrong since the first baseline."""
    try:
        with conversation(connect(host)) as bmc:
            identity, power, boot = bmc.identity(), bmc.power(), bmc.boot_override()
            log, troubles = _log(bmc, host)
    except BmkError as error:
        return Outside(troubles={host.name: (_trouble(host, error),)})
    known = _known(journal, host, log) if not troubles else []
    facts = bmc_facts(_said(host, identity), power, boot, log)
    return Outside({host.name: [(desired_bmc(host, known), facts)]}, troubles={host.name: troubles})


def _said(host: Host, seen: Identity) -> dict[str, str | None]:
    """Serial and UUID in the file's words, unless they are another machine's."""
    other_serial = same_serial(host.serial, seen.serial) is False
    other_uuid = same_uuid(host.uuid, seen.uuid) is False
    return {"serial": seen.serial if other_serial else host.serial, "uuid": seen.uuid if other_uuid else host.uuid}


def _log(bmc: Bmc, host: Host) -> tuple[list[LogEntry], tuple[Trouble, ...]]:
    """A BMC that cannot read its log (which takes long where it is long) has told the rest all the same."""
    try:
        return bmc.event_log(), ()
    except BmkError as error:
        return [], (_trouble(host, error),)


def _trouble(host: Host, error: BmkError) -> Trouble:
    return Trouble("bmc", f"BMC {host.bmc_address}: {error.what}", error.hint)


def _known(journal: Journal, host: Host, log: Sequence[LogEntry]) -> list[str]:
    """What was in the log when it was read first."""
    record = journal.facts(host.name).get(_RECORD)
    if record is None:
        record = {"at": time.time(), "known": bad_entries(log)}
        journal.record(host.name, _RECORD, record)
    return list(record["known"])


def mark_known_entries(connect: Connect, journal: Journal, hosts: Iterable[Host]) -> None:
    """Record the entries of event logs when the first baseline is signed; later entries are findings.

    A BMC that does not answer is skipped: the first drift scan asks it again.
    """

    def one(host: Host) -> None:
        with suppress(BmkError), conversation(connect(host)) as bmc:
            _known(journal, host, bmc.event_log())

    known = journal.records(_RECORD)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="bmc-logs") as pool:
        list(pool.map(one, [host for host in hosts if host.name not in known]))
