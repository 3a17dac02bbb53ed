"""Every event log of a Redfish BMC that tells of the hardware is read, wherever it hangs and however long it is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bmk.bmc import Access, LogEntry, Timeouts, Trust, open_bmc
from bmk.bmc.protocol import LOG_LIMIT
from bmk.journal.events import Event
from bmk.secrets import Credentials, Secret

from .hostile import ROOT, SYSTEM, Hostile, serving

pytestmark = pytest.mark.services
FAST = Timeouts(connect=3, request=5, patience=1, call=20, first_pause=0.1, longest_pause=0.2, settle=0.5, poll=0.1)
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Hostile]:
    with serving(tmp_path / "bmc") as server:
        yield server


def log(server: Hostile, events: list[Event] | None = None) -> list[LogEntry]:
    notify = (events if events is not None else []).append
    trust = Trust(authorities=server.certificate)
    bmc = open_bmc(
        "redfish", Access("127.0.0.1", server.port, Credentials("u", Secret("p")), trust, notify=notify, timing=FAST)
    )
    return bmc.event_log()


def entry(number: int, **more: Any) -> dict[str, Any]:
    at = (BEGIN + timedelta(minutes=number)).isoformat().replace("+00:00", "Z")
    return {"Id": str(number), "Created": at, "Severity": "OK", "Message": f"event {number}", **more}


def services(server: Hostile, owner: str, **logs: list[Any]) -> None:
    """Log services of an owner, each with all its entries on one page."""
    server.pages[owner] = {**(server.pages.get(owner) or {}), "LogServices": {"@odata.id": f"{owner}/LogServices"}}
    links = [{"@odata.id": f"{owner}/LogServices/{name}"} for name in logs]
    server.pages[f"{owner}/LogServices"] = {"Members": links}
    for name, entries in logs.items():
        place = f"{owner}/LogServices/{name}"
        server.pages[place] = {"Id": name, "Entries": {"@odata.id": f"{place}/Entries"}}
        server.pages[f"{place}/Entries"] = {"Members": entries}


def texts(entries: list[LogEntry]) -> list[str]:
    return [entry.text for entry in entries]


def test_every_holder_and_every_log_is_read(server: Hostile) -> None:
    """System, manager and chassis, two logs of one of them; an entry that stands in two logs is told once."""
    manager, chassis = f"{ROOT}/Managers/1", f"{ROOT}/Chassis/1"
    server.pages[SYSTEM]["Links"] = {"ManagedBy": [{"@odata.id": manager}], "Chassis": [{"@odata.id": chassis}]}
    services(server, SYSTEM, EventLog=[entry(1)])
    services(server, manager, SEL=[entry(2)], IEL=[entry(3), entry(1)])
    services(server, chassis, Log1=[entry(4, Severity="Critical")])
    found = log(server)
    assert texts(found) == ["event 1", "event 2", "event 3", "event 4"]
    assert found[-1].severity == "Critical"


def test_what_nothing_links_to_is_looked_for(server: Hostile) -> None:
    """Old BMCs link their system to no manager: where there is one system, all managers and chassis are its own."""
    manager = f"{ROOT}/Managers/1"
    server.pages[ROOT]["Managers"] = {"@odata.id": f"{ROOT}/Managers"}
    server.pages[f"{ROOT}/Managers"] = {"Members": [{"@odata.id": manager}]}
    services(server, manager, SEL=[entry(1)])
    assert texts(log(server)) == ["event 1"]


@pytest.mark.parametrize(
    "name", ["Journal", "Dump", "SystemDump", "PostCodes", "SecurityLog", "AuditLog", "OperateLog", "RunLog"]
)
def test_logs_of_another_kind_are_left_out(server: Hostile, name: str) -> None:
    """What software did, memory images, boot progress, and who logged in, say nothing of the hardware."""
    services(server, SYSTEM, SEL=[entry(1)], **{name: [entry(2, Severity="Critical")]})
    assert texts(log(server)) == ["event 1"]
    assert not [asked for asked in server.asked if f"/{name}/Entries" in asked.path]


def test_a_log_for_security_only_is_left_out(server: Hostile) -> None:
    """Newer BMCs say what a log is for."""
    services(server, SYSTEM, L1=[entry(1)], L2=[entry(2)])
    server.pages[f"{SYSTEM}/LogServices/L1"]["LogPurposes"] = ["Security"]
    server.pages[f"{SYSTEM}/LogServices/L2"]["LogPurposes"] = ["Security", "Diagnostic"]
    assert texts(log(server)) == ["event 2"]


def _paged(server: Hostile, pages: list[list[Any]], how: str = "Members@odata.nextLink") -> None:
    services(server, SYSTEM, SEL=[])
    place = f"{SYSTEM}/LogServices/SEL/Entries"
    for n, entries in enumerate(pages):
        page: dict[str, Any] = {"Members": entries}
        if n + 1 < len(pages):
            link = f"{place}?page={n + 1}"
            page |= {"links": {"NextPage": {"page": n + 1}}} if how == "links" else {how: link}
        server.pages[f"{place}?page={n}" if n else place] = page


@pytest.mark.parametrize("how", ["Members@odata.nextLink", "@odata.nextLink", "links"])
def test_all_pages_are_read(server: Hostile, how: str) -> None:
    """However a BMC names the next page: what is bad may stand on the last one."""
    numbers = range(1, 144)
    entries = [entry(n, Severity="Critical" if n > 129 else "OK") for n in numbers]
    _paged(server, [entries[:50], entries[50:100], entries[100:]], how)
    found = log(server)
    assert texts(found) == [f"event {n}" for n in numbers]
    assert sum(e.severity == "Critical" for e in found) == 14


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("dated", [True, False])
def test_the_newest_of_each_log_are_kept(server: Hostile, newest_first: bool, dated: bool) -> None:
    """Which end is the newer one is told by the times, else by the numbers; what is told comes oldest first."""
    count = LOG_LIMIT + 60
    entries = [entry(n, **({} if dated else {"Created": None})) for n in range(count)]
    entries[10]["Created"] = "1970-01-01T00:00:41Z"  # the clock of a BMC that was just started
    listed = entries[::-1] if newest_first else entries
    _paged(server, [listed[:130], listed[130:]])
    assert texts(log(server)) == [f"event {n}" for n in range(60, count)]


def test_a_long_log_with_its_newest_first_is_not_read_to_its_end(server: Hostile) -> None:
    """A lifecycle log has a hundred pages: those that matter are the first."""
    entries = [entry(n) for n in range(30 * 50, 0, -1)]
    _paged(server, [entries[at : at + 50] for at in range(0, len(entries), 50)])
    assert len(log(server)) == LOG_LIMIT
    assert sum("/Entries" in asked.path for asked in server.asked) == LOG_LIMIT // 50


def test_entries_that_are_links_are_read(server: Hostile) -> None:
    """Some BMCs list links: the newest are fetched, whichever end they are at."""
    count = LOG_LIMIT + 20
    for n in range(count):
        server.pages[f"{SYSTEM}/e/{n}"] = entry(n)
    services(server, SYSTEM, SEL=[{"@odata.id": f"{SYSTEM}/e/{n}"} for n in range(count - 1, -1, -1)])
    assert texts(log(server)) == [f"event {n}" for n in range(20, count)]


def test_a_page_that_fails_costs_what_is_behind_it(server: Hostile) -> None:
    """What was read before it is told, and so is the failure."""
    _paged(server, [[entry(1)], [entry(2)], [entry(3)]])
    server.pages[f"{SYSTEM}/LogServices/SEL/Entries?page=2"] = (500, {}, b"")
    events: list[Event] = []
    assert texts(log(server, events)) == ["event 1", "event 2"]
    assert ["Entries?page=2: HTTP 500" in e.text for e in events if e.kind == "bmc.unread"] == [True]


def test_pages_that_lead_in_a_circle_end(server: Hostile) -> None:
    """A next page that is the first one again is no next page."""
    _paged(server, [[entry(1)], [entry(2)]])
    server.pages[f"{SYSTEM}/LogServices/SEL/Entries?page=1"]["@odata.nextLink"] = f"{SYSTEM}/LogServices/SEL/Entries"
    assert texts(log(server)) == ["event 1", "event 2"]


@pytest.mark.parametrize(
    ("more", "text", "severity"),
    [
        ({"Message": "", "MessageId": "OpenBMC.0.1.PowerSupplyFailed"}, "OpenBMC.0.1.PowerSupplyFailed", "OK"),
        ({"Message": None, "MessageId": "X.1.0.Lost", "MessageArgs": ["PSU 1", 2]}, "X.1.0.Lost (PSU 1, 2)", "OK"),
        ({"Message": " ", "SensorType": "Processor", "EntryCode": "Assert"}, "Processor Assert", "OK"),
        (
            {"Message": "", "Severity": None, "EntryCode": "Lower Critical - going low"},
            "Lower Critical - going low",
            "Critical",
        ),
        ({"Severity": "critical"}, "event 7", "Critical"),
        ({"Severity": "Caution"}, "event 7", "Warning"),
        ({"Severity": "Major"}, "event 7", "Critical"),
        ({"Severity": "Informational"}, "event 7", "OK"),
        ({"Severity": None, "MessageSeverity": "Warning"}, "event 7", "Warning"),
    ],
)
def test_an_entry_says_what_happened_and_how_bad_it_is(
    server: Hostile, more: dict[str, Any], text: str, severity: str
) -> None:
    """Where there is no text, the id of the message is one; every word for severity is one of three."""
    services(server, SYSTEM, SEL=[entry(7, **more)])
    (found,) = log(server)
    assert (found.text, found.severity) == (text, severity)


@pytest.mark.parametrize(
    ("created", "at"),
    [
        ("2026-11-01T02:00:00+02:00", "2026-11-01T00:00:00Z"),
        ("2026-10-31T19:00:00-05:00", "2026-11-01T00:00:00Z"),
        ("2026-11-01T00:00:00", "2026-11-01T00:00:00"),
        ("11/01/2026 00:00", "11/01/2026 00:00"),
        (17, "17"),
    ],
)
def test_an_entry_is_the_same_in_every_zone(server: Hostile, created: object, at: str) -> None:
    """A BMC whose zone is changed shows the same entries with other times: they are no news."""
    services(server, SYSTEM, SEL=[entry(1, Created=created)])
    assert [found.at for found in log(server)] == [at]


@pytest.mark.parametrize("logs", [None, {}, [], {"@odata.id": f"{SYSTEM}/LogServices"}])
def test_a_bmc_without_a_log_is_said_to_have_none(server: Hostile, logs: object) -> None:
    """No entry is not the same as no log."""
    server.pages[SYSTEM]["LogServices"] = logs
    events: list[Event] = []
    assert log(server, events) == []
    assert [e.level for e in events if e.kind == "bmc.no-log"] == ["warning"]


def test_an_empty_log_is_one(server: Hostile) -> None:
    """Nothing happened, and nothing is said of it."""
    services(server, SYSTEM, SEL=[])
    events: list[Event] = []
    assert (log(server, events), events) == ([], [])
