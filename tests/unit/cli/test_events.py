"""`bmk events`: the journal as it was written, for programs first."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from bmk.cli.events import _PAGE
from bmk.journal import Event


def read(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def three(teller):
    """Two events of cp-1 and one of nobody."""
    teller.tell("cp-1", "dhcp", "dhcp.discover", "DISCOVER")
    teller.tell(None, "bmk", "run.started", "provision lab", run="r1")
    teller.tell("cp-1", "agent", "image.progress", "10 MB", level="debug", bytes=10)


def test_json_lines_begin_with_their_schema(cli, three):
    """The first line says which schema follows; then one line an event, with its number."""
    first, *events = read(cli("events", "lab").out)
    assert first == {"type": "version", "schema": 1, "tool": "bmk"}
    assert [(e["seq"], e["kind"], e["host"]) for e in events] == [
        (1, "dhcp.discover", "cp-1"),
        (2, "run.started", None),
        (3, "image.progress", "cp-1"),
    ]
    assert events[2]["data"] == {"bytes": 10}


@pytest.mark.parametrize(
    ("args", "numbers"),
    [
        (["--since", "1"], [2, 3]),
        (["--since", "99"], []),
        (["--since", "15m"], [1, 2, 3]),
        (["--host", "cp-1"], [1, 3]),
        (["--kind", "image."], [3]),
        (["--kind", "image"], []),
        (["--level", "info"], [1, 2]),
        (["--host", "cp-1", "--level", "info", "--since", "1"], []),
    ],
)
def test_events_are_chosen(cli, three, args, numbers):
    """By number or time, host, kind and level; all of them together."""
    assert [e["seq"] for e in read(cli("events", "lab", *args).out)[1:]] == numbers


def test_a_duration_leaves_out_what_is_older(cli, teller):
    """--since 1h shows what happened in the last hour and nothing before."""
    for age in (7200, 3000, 10):
        teller.now = time.time() - age
        teller.tell("cp-1", "lab", "lab.note", f"{age} s ago", after=0.0)
    assert [e["text"] for e in read(cli("events", "lab", "--since", "1h").out)[1:]] == ["3000 s ago", "10 s ago"]
    assert len(read(cli("events", "lab", "--since", "5s").out)) == 1


def test_a_big_journal_is_read_page_by_page(cli, journal):
    """More events than one page holds are all printed, each once."""
    journal.extend(Event("lab", "lab.note", "x", at=1.0) for _ in range(2 * _PAGE + 1))
    numbers = [e["seq"] for e in read(cli("events", "lab").out)[1:]]
    assert numbers == list(range(1, 2 * _PAGE + 2))


def test_lines_for_people(cli, three):
    """-o table prints one line an event."""
    assert cli("events", "lab", "-o", "table", "--level", "info").out.splitlines() == [
        "00:00:01 cp-1         -          dhcp     DISCOVER",
        "00:00:02 -            -          bmk      provision lab",
    ]


def test_followed_events_come_as_they_are_written(state, three, journal):
    """--follow prints what is there, then what another process writes; Ctrl-C ends it, and that is no failure."""
    command = [sys.executable, "-m", "bmk", "events", "lab", "--follow", "--since", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert [json.loads(process.stdout.readline()).get("seq") for _ in range(2)] == [None, 3]
            journal.append(Event("lab", "lab.note", "later"))
            assert json.loads(process.stdout.readline())["text"] == "later"
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            process.kill()


def test_without_a_journal_it_says_what_to_type(cli, state):
    """Nothing happened yet: no event, the next command on stderr, and nothing is left behind."""
    said = cli("events", "lab")
    assert (said.code, len(read(said.out))) == (0, 1)
    assert "next: bmk provision lab" in said.err
    assert not state.exists()


def test_a_host_that_left_the_file_still_has_events(cli, teller):
    """Events outlive the host's entry in dc.yml."""
    teller.tell("old-1", "lab", "lab.note", "long gone")
    assert len(read(cli("events", "lab", "--host", "old-1").out)) == 2


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [(["--host", "cp1"], 3, "did you mean 'cp-1'?"), (["--since", "yesterday"], 64, "duration like 90s, 15m")],
)
def test_bad_input_is_explained(cli, journal, args, code, words):
    """Wrong names end with 3 and the nearest one, wrong values with 64 and what is right."""
    said = cli("events", "lab", *args)
    assert (said.code, words in said.err) == (code, True)
