"""Where events go: JSON lines, plain lines, the live table, and where hosts are."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from bmk.journal import Event, Journal
from bmk.journal.host_status import age, project
from bmk.journal.live_table import LiveTable
from bmk.journal.progress import HostState, line, step
from bmk.journal.sinks import JsonLines, Lines


def event(kind: str, text: str = "text", at: float = 1000.0, **more: Any) -> Event:
    return Event("bmk", kind, text, more.pop("host", "cp-1"), more.pop("phase", "imaging"), at=at, **more)


def test_json_lines_begin_with_their_schema() -> None:
    """A reader learns the schema before the first event, and every line is one JSON object."""
    out = io.StringIO()
    sink = JsonLines(out)
    sink.take(event("phase.started", data={"a": 1}))
    first, second = map(json.loads, out.getvalue().splitlines())
    assert (first["type"], first["schema"]) == ("version", 1)
    assert (second["type"], second["kind"], second["data"]) == ("event", "phase.started", {"a": 1})


def test_plain_lines_are_few() -> None:
    """Debug events are left out and image progress comes at most every ten seconds."""
    out = io.StringIO()
    sink = Lines(out)
    sink.take(event("phase.waiting", level="debug"))
    for second in range(25):
        sink.take(event("image.progress", f"{second} MB", at=1000.0 + second))
    assert [text.split()[-2] for text in out.getvalue().splitlines()] == ["0", "10", "20"]


def test_plain_lines_leave_out_hosts_of_others() -> None:
    """A run shows its own hosts and what concerns all."""
    out = io.StringIO()
    sink = Lines(out, frozenset({"cp-1"}))
    sink.take(event("phase.started", "mine"))
    sink.take(event("phase.started", "theirs", host="cp-2"))
    sink.take(event("run.finished", "all", host=None))
    assert [text.split()[-1] for text in out.getvalue().splitlines()] == ["mine", "all"]


def test_image_progress_tells_rate_and_time_left() -> None:
    """Bytes become percent, MB/s and seconds left."""
    state = HostState()
    for second in (0, 10):
        data = {"bytes": second * 20_000_000, "total": 400_000_000}
        state = step(state, event("image.progress", at=1000.0 + second, data=data))
    assert line(state) == "image 200 MB, 50 %, 20.0 MB/s, 10 s left"


def test_live_table_shows_each_host_and_how_it_ended() -> None:
    """Phase, text and end of every host are in the table; colour is not needed to tell them apart."""
    table = LiveTable(Console(file=io.StringIO(), width=100, height=30), dict.fromkeys(["cp-1", "cp-2"], "r1"))
    table.take(event("phase.started", "Write the image"))
    table.take(event("phase.failed", "no DHCP", host="cp-2", phase="booting"))
    out = io.StringIO()
    Console(file=out, width=100).print(table.table())
    table.close()
    text = out.getvalue()
    assert "Write the image" in text
    assert "failed" in text
    assert "0 of 2 ready, 1 failed" in text


def test_live_table_fits_the_terminal() -> None:
    """With more hosts than lines, the rest is counted instead of scrolled away."""
    table = LiveTable(Console(file=io.StringIO(), width=100, height=12), {f"n{i}": "r1" for i in range(25)})
    rendered: Any = table.table()
    table.close()
    assert rendered.row_count == 8
    assert "17 not shown" in str(rendered.caption)


def test_what_a_dead_run_began_is_interrupted(tmp_path: Path) -> None:
    """A phase that no living run carries on is not called running."""
    journal = Journal.open(tmp_path)
    journal.append(event("phase.started", "Write the image", run="r1"))
    assert project(journal, "par", "r1").status("cp-1").state == "running"
    assert project(journal, "par", None).status("cp-1").state == "interrupted"
    assert project(journal, "par", None).status("cp-2").state == "new"


def test_ages_are_short() -> None:
    """Times are told in the unit that people use."""
    assert [age(10**6 - s, 10**6) for s in (5, 119, 600, 7300, 200000)] == ["5 s", "119 s", "10 min", "2 h", "2 d"]
