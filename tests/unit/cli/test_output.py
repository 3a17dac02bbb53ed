"""Output: data on stdout in the format asked for, colour only where it is wanted, completion from the text of files."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from ipaddress import IPv4Address

import pytest
import yaml

from bmk.cli.output import console, dump, emit, use_colour
from bmk.cli.tables import show_smoke
from bmk.journal import Event

ROWS = [{"host": "a", "phase": None, "macs": ["x", "y"]}, {"host": "long-name", "phase": "ready", "macs": []}]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def no_environment(monkeypatch):
    """Neither NO_COLOR nor FORCE_COLOR, and an ordinary terminal."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.parametrize(
    ("environment", "terminal", "wanted"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": "0"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_colour_follows_the_conventions(no_environment, monkeypatch, environment, terminal, wanted):
    """Terminals get colour; any non-empty NO_COLOR forbids it, FORCE_COLOR asks for it, dumb terminals get none."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert use_colour(Terminal() if terminal else io.StringIO()) is wanted


def test_console_without_colour_prints_plain_text(no_environment, monkeypatch, capsys):
    """With NO_COLOR the one console writes no escape codes, and writes to stderr; what is in brackets is text."""
    monkeypatch.setenv("NO_COLOR", "1")
    console().print("[red]hot[/red]", style="red")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "[red]hot[/red]\n")


def test_table_is_aligned_and_never_cut(capsys):
    """Columns are as wide as their content; absent values are a dash, lists are joined."""
    emit(ROWS, "table", ["host", "phase"])
    assert capsys.readouterr().out == "HOST       PHASE\na          -\nlong-name  ready\n"
    emit(ROWS[:1], "wide", ["host"], wide=["macs"])
    assert capsys.readouterr().out == "HOST  MACS\na     x,y\n"


def test_a_smoke_test_of_many_hosts_is_a_short_table(no_environment, capsys):
    """One row for what is well everywhere; what fails names its host and what was seen."""
    hosts = [f"worker-{number}" for number in range(50)]
    checks = [_checked("pod runs", host, ok=True) for host in hosts] + [_checked("identity", "worker-1", ok=True)]
    show_smoke([*checks, _checked("logs", "worker-7", ok=False), _checked("logs", "worker-9", ok=False)])
    lines = capsys.readouterr().err.splitlines()[2:]
    assert [line.split()[0] for line in lines] == ["ok", "ok", "FAILED", "FAILED"]
    assert "50 hosts" in lines[0]
    assert all(word in lines[2] for word in ("logs", "worker-7", "seen on worker-7"))


def _checked(name, host, *, ok):
    return Event("cluster", "smoke.check", name, host, data={"name": name, "ok": ok, "detail": f"seen on {host}"})


def test_machine_formats_hold_everything(capsys):
    """json and yaml print all keys; name prints one name a line."""
    emit(ROWS, "json", ["host"])
    assert json.loads(capsys.readouterr().out) == ROWS
    emit(ROWS, "yaml", ["host"])
    assert yaml.safe_load(capsys.readouterr().out) == ROWS
    emit(ROWS, "name", ["host"])
    assert capsys.readouterr().out == "a\nlong-name\n"


def test_values_that_json_lacks_become_text(capsys):
    """Addresses and paths in a row print as text."""
    dump({"address": IPv4Address("10.0.0.1")}, "json")
    assert json.loads(capsys.readouterr().out) == {"address": "10.0.0.1"}


SCRIPT = "import sys; sys.argv[0] = 'bmk'; from bmk.cli import main; main()"


def complete(*words: str) -> list[str]:
    """What the shell would offer for the last word."""
    typed = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    environment = {**os.environ, "_BMK_COMPLETE": "bash_complete", **typed}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["bmk", "val"], ["validate"]),
        (["bmk", "validate", "lab-"], ["lab-ha", "lab-mixed"]),
        (["bmk", "inventory", "lab", "--h"], ["--host", "--help"]),
        (["bmk", "inventory", "lab", "--host", ""], ["cp-1", "worker-1"]),
    ],
)
def test_completion_offers_commands_data_centers_and_hosts(words, offered):
    """Commands, data centers and hosts complete."""
    assert complete(*words) == offered


def test_completion_is_fast(monkeypatch):
    """Completing a host imports at most twice the modules that click does: no model, no Ansible, nothing of a run."""
    listed = "import sys; print(*sys.modules, file=sys.stderr)"

    def modules(code: str) -> set[str]:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return set(done.stderr.split())

    bare, click = modules(listed), modules(f"import click; {listed}")
    monkeypatch.setenv("_BMK_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "bmk inventory lab --host ")
    monkeypatch.setenv("COMP_CWORD", "4")
    completing = f"import atexit, sys; atexit.register(lambda: exec('{listed}')); {SCRIPT}"
    found = modules(completing) - bare
    assert "bmk.cli" in found
    assert not found & {"ansible", "asyncio", "pydantic", "rich", "ruamel", "sqlite3", "yaml"}
    assert len(found) <= 2 * len(click - bare)
