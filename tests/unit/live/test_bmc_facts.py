"""What BMCs say of their machines: what is news in an event log, and what one says that cannot read its log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bmk.bmc.protocol import Identity, LogEntry
from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import Host
from bmk.drift.compare import compare
from bmk.errors import BmcError
from bmk.journal import Journal
from bmk.live import bmc_facts

OLD = LogEntry("1970-01-01T00:00:01Z", "Critical", "PSU 1 lost its input")
NEW = LogEntry("1970-01-01T00:00:01Z", "Critical", "Fan 3 failed")


class Machine:
    """A BMC that answers with what it is given; an error is raised."""

    def __init__(self, host: Host, log: Any) -> None:
        self.host, self.log = host, log

    def identity(self) -> Identity:
        return Identity(uuid=self.host.uuid, serial=self.host.serial)

    def power(self) -> str:
        return "on"

    def boot_override(self) -> str:
        return ""

    def disconnect(self) -> None:
        """Nothing is open."""

    def event_log(self) -> list[LogEntry]:
        if isinstance(self.log, BmcError):
            raise self.log
        return list(self.log)


@pytest.fixture
def host() -> Host:
    dc = load_datacenter(Path(__file__).resolve().parents[3] / "inventories/lab-ha/dc.yml")
    return next(iter(dc.hosts.values()))


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal.open(tmp_path)


def asked(journal: Journal, host: Host, log: Any) -> tuple[list[str], list[str]]:
    """What is found, and why it is unknown."""
    said = bmc_facts.ask(lambda _: Machine(host, log), journal, host)  # type: ignore[arg-type,return-value] # a part of a BMC
    found = [d.id for side in said.hosts.get(host.name, ()) for d in compare(*side)]
    return found, [t.text for t in said.troubles[host.name]]


def sealed(journal: Journal, host: Host, log: Any) -> None:
    bmc_facts.mark_known_entries(lambda _: Machine(host, log), journal, [host])  # type: ignore[arg-type,return-value] # a part of a BMC


def test_what_was_there_at_the_first_seal_is_no_news(journal: Journal, host: Host) -> None:
    """What comes later is, and no further converge makes it known: only a clean log does."""
    sealed(journal, host, [OLD])
    assert asked(journal, host, [OLD]) == ([], [])
    sealed(journal, host, [OLD, NEW])
    assert asked(journal, host, [NEW, OLD])[0] == ["Critical event 1970-01-01T00:00:01Z Fan 3 failed"]
    assert asked(journal, host, []) == ([], [])


def test_a_log_that_cannot_be_read_is_unknown_and_hides_nothing(journal: Journal, host: Host) -> None:
    """The seal ends all the same; a look tells what the BMC said otherwise; the first answer is what is known."""
    silent = BmcError("the BMC did not read its event log", where="x")
    sealed(journal, host, silent)
    found, troubles = asked(journal, host, silent)
    assert (found, len(troubles)) == ([], 1)
    assert "event log" in troubles[0]
    assert asked(journal, host, [OLD]) == ([], [])
    assert asked(journal, host, [OLD, NEW])[0] == ["Critical event 1970-01-01T00:00:01Z Fan 3 failed"]
