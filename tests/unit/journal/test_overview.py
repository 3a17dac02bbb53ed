"""A run of many hosts: on a terminal and in a log."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.live import Live

from bmk.journal import Event
from bmk.journal.live_table import LiveTable
from bmk.journal.overview import MANY, overview, totals
from bmk.journal.progress import HostState
from bmk.journal.sinks import ProgressLines

PHASES = ("powered", "booting", "imaging", "joined")
RUNS = sorted(Path(__file__).with_name("runs").glob("*.jsonl"))
HOSTS = 2000
states = st.builds(
    HostState,
    phase=st.sampled_from(["", *PHASES]),
    since=st.floats(0, 1000),
    text=st.text(max_size=40).filter(lambda text: text.isprintable()),
    end=st.sampled_from(["", "ready", "failed"]),
)
fleets = st.lists(states, max_size=80).map(lambda found: {f"r{n // 8}-{n % 8}": s for n, s in enumerate(found)})


def racks(names: Any) -> dict[str, str]:
    return {name: name.partition("-")[0] for name in names}


def recorded() -> Iterator[Event]:
    """Two thousand hosts, each with the events of one of the recorded runs, side by side."""
    files = [[json.loads(line) for line in file.read_text().splitlines()[1:]] for file in RUNS]
    for at in range(max(map(len, files))):
        for number in range(HOSTS):
            events = files[number % len(files)]
            if at < len(events):
                seconds, phase, source, kind, level, text, data = events[at]
                host = f"r{number // 40}-{number % 40:02}"
                yield Event(source, kind, text, host, phase, level=level, data=data, at=1000.0 + seconds)


@given(fleet=fleets, height=st.integers(6, 60))
def test_an_overview_fits_the_terminal(fleet: dict[str, HostState], height: int) -> None:
    """However many hosts, phases and failures there are, and however low the terminal is."""
    assert 1 <= len(overview(fleet, racks(fleet), PHASES, 1000.0, height)) <= height


@given(fleet=fleets)
def test_each_host_is_counted_once(fleet: dict[str, HostState]) -> None:
    """Ready, failed, in a phase, or not begun: together they are all hosts."""
    sums = totals(fleet.values(), PHASES)
    assert sums.ready + sums.failed + sums.waiting + sum(sums.phases.values()) == len(fleet)
    assert f"{sums.ready} of {len(fleet)} ready, {sums.failed} failed" in str(sums)


def test_an_overview_tells_what_a_person_looks_for() -> None:
    """How many are where, which racks are behind, who failed and why, and who is longest in a phase."""
    fleet = {f"r1-{n:02}": HostState("ready", 990.0, end="ready") for n in range(40)}
    fleet |= {f"r2-{n:02}": HostState("imaging", 900.0 + n, "writes the image") for n in range(38)}
    fleet |= {"r2-38": HostState("booting", 500.0, "no DHCP request seen", end="failed"), "r2-39": HostState()}
    shown = overview(fleet, racks(fleet), PHASES, 1000.0, 30)
    assert shown[0] == "40 of 80 ready, 1 failed, 38 imaging, 1 not begun"
    assert shown[1] == f"  {'imaging':<18} {38:>6}   for up to 100 s"
    assert shown[2] == "racks: r2 0/40 (1 failed)"
    assert shown[3:5] == ["failed:", "  r2-38 in booting: no DHCP request seen"]
    assert shown[5:7] == ["longest in their phase:", "  r2-00 imaging 100 s: writes the image"]


def test_racks_that_do_not_fit_are_counted() -> None:
    """Those with failed hosts come first; of the others it is said how many they are."""
    fleet = {f"r{rack:02}-1": HostState("imaging", 900.0) for rack in range(40)}
    fleet["r39-2"] = HostState("booting", 500.0, "no DHCP", end="failed")
    (shown,) = (text for text in overview(fleet, racks(fleet), PHASES, 1000.0, 12) if text.startswith("racks"))
    assert shown == "racks: r39 0/2 (1 failed), r00 0/1, r01 0/1, r02 0/1, and 36 more"


def test_failures_that_do_not_fit_are_named_in_short() -> None:
    """Nobody who failed is left out, though most have no line of their own."""
    fleet = {f"r1-{n:02}": HostState("booting", 500.0, "no DHCP request seen", end="failed") for n in range(90)}
    assert "  and more: r1-00 … r1-89" in overview(fleet, racks(fleet), PHASES, 1000.0, 12)


@pytest.mark.parametrize("height", [12, 24, 50])
def test_a_refresh_writes_no_more_than_the_screen(height: int) -> None:
    """Two thousand hosts with recorded runs: what a terminal gets at once depends on its size, not on theirs."""
    width, names = 100, [f"r{n // 40}-{n % 40:02}" for n in range(HOSTS)]
    table = LiveTable(Console(file=io.StringIO(), width=width, height=height), racks(names))
    for event in recorded():
        table.take(event)
    table.close()
    screen = io.StringIO()
    console = Console(file=screen, width=width, height=height, force_terminal=True)
    with Live(get_renderable=table.table, console=console, auto_refresh=False) as live:  # refreshed by this test only
        live.refresh()
        before = len(screen.getvalue())
        live.refresh()
        written = len(screen.getvalue()) - before
    assert 0 < written <= height * (width + 20), "characters of one refresh, with moves of the cursor"
    assert f"of {HOSTS} ready" in screen.getvalue()


def test_few_hosts_have_a_row_each() -> None:
    """Below MANY hosts the table is the one that shows each."""
    table = LiveTable(Console(file=io.StringIO(), width=100, height=60), racks(f"r1-{n}" for n in range(MANY - 1)))
    rendered: Any = table.table()
    table.close()
    assert rendered.row_count == MANY - 1


def test_a_log_of_many_hosts_is_short() -> None:
    """Recorded runs of two thousand hosts: errors, what concerns all, and a sum every half a minute."""
    log = io.StringIO()
    sink = ProgressLines(log, frozenset(f"r{n // 40}-{n % 40:02}" for n in range(HOSTS)))
    events = sorted(recorded(), key=lambda event: event.at)
    sink.take(Event("bmk", "run.started", "provision", at=999.0))
    for event in events:
        sink.take(event)
    sink.close()
    text = log.getvalue().splitlines()
    errors = sum(event.level == "error" for event in events)
    seconds = events[-1].at - events[0].at
    assert len(text) <= errors + seconds / 30 + 3
    assert "provision" in text[0]
    assert f"of {HOSTS} ready" in text[-1]


def test_sums_in_a_log_come_with_the_time_of_events() -> None:
    """Every 30 seconds of the run, and once at its end; no clock is asked."""
    log = io.StringIO()
    sink = ProgressLines(log, frozenset(f"n{n}" for n in range(MANY)))
    start = Event("bmk", "phase.started", "Power on", "n1", "powered", at=1000.0)
    for second in range(0, 100, 10):
        sink.take(replace(start, at=1000.0 + second))
    assert len(log.getvalue().splitlines()) == 4
    sink.close()
    assert log.getvalue().splitlines()[-1].endswith(f"0 of {MANY} ready, 0 failed, 1 powered, {MANY - 1} not begun")
