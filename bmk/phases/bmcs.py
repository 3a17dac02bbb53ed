"""BMCs as drift asks them: all at once, each for itself; and what their event logs held when a host was sealed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from bmk.bmc.protocol import Bmc, LogEntry
from bmk.datacenter.resolve import Host
from bmk.drift.bmc import bad_entries, bmc_facts, desired_bmc
from bmk.drift.look import Outside
from bmk.drift.model import Trouble
from bmk.errors import BmkError
from bmk.journal import Journal

AT_ONCE = 32
_RECORD = "bmc_log"  # of the journal: {at, known}

Connect = Callable[[Host], Bmc]


def ask(connect: Connect, journal: Journal, host: Host) -> Outside:
    """Who the machine is, whether it is on, what it would boot next, and what went wrong with it since the seal."""
    try:
        bmc = connect(host)
        identity, power, boot = bmc.identity(), bmc.power(), bmc.boot_override()
    except BmkError as error:
        return Outside(troubles={host.name: (_trouble(host, error),)})
    log, troubles = _log(bmc, host)
    known = _known(journal, host, log) if not troubles else []
    facts = bmc_facts({"serial": identity.serial, "uuid": identity.uuid}, power, boot, log)
    return Outside({host.name: [(desired_bmc(host, known), facts)]}, troubles={host.name: troubles})


def _log(bmc: Bmc, host: Host) -> tuple[list[LogEntry], tuple[Trouble, ...]]:
    """A BMC that cannot read its log (which takes long where it is long) has told the rest all the same."""
    try:
        return bmc.event_log(), ()
    except BmkError as error:
        return [], (_trouble(host, error),)


def _trouble(host: Host, error: BmkError) -> Trouble:
    return Trouble("bmc", f"BMC {host.bmc_address}: {error.what}", error.hint)


def _known(journal: Journal, host: Host, log: Sequence[LogEntry]) -> list[str]:
    """What was in the log at the seal. A BMC that did not answer then is asked from now on."""
    record = journal.facts(host.name).get(_RECORD)
    return list(record["known"]) if record is not None else _remember(journal, host, log)


def mark(connect: Connect, journal: Journal, hosts: Iterable[Host]) -> None:
    """What the event logs hold now is known: what is in them later is news. A BMC that is silent keeps nobody."""

    def one(host: Host) -> None:
        journal.forget(host.name, _RECORD)
        with suppress(BmkError):
            _remember(journal, host, connect(host).event_log())

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="bmc-logs") as pool:
        list(pool.map(one, hosts))


def _remember(journal: Journal, host: Host, log: Sequence[LogEntry]) -> list[str]:
    known = bad_entries(log)
    journal.record(host.name, _RECORD, {"at": time.time(), "known": known})
    return known
