"""What others chose is shown on a terminal and never done by it, whichever command prints it."""

from __future__ import annotations

import io
import sys
import unicodedata
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.cli.failure import run
from bmk.cli.output import console, emit, say
from bmk.errors import BmkError
from bmk.terminal import console_text, guarded, printable

TITLE = "\x1b]0;owned\x07"
ODD = (TITLE, "\x1b[2J\x1b[1;1Hready", "\x9b31m", "a\rb", "\u202egnp.exe", "\x08\x08", "x\u2028y", "\x7f")
texts = st.text() | st.lists(st.sampled_from(ODD)).map("".join)


def obeyed(text: str) -> str:
    """Characters of the text that a terminal would act on, beyond lines and tabs."""
    return "".join(c for c in text if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp"))


@given(texts)
def test_no_control_sequence_reaches_a_terminal(text: str) -> None:
    """Of any text; what is printable stays as it is, and doing it twice changes nothing."""
    clean = printable(text)
    assert obeyed(clean) == ""
    assert printable(clean) == clean
    assert clean == text or not all(c.isprintable() or c in "\n\t" for c in text)


@given(texts)
def test_every_way_to_print_is_guarded(text: str) -> None:
    """click, plain writes, tables of rows, and what rich draws, with markup of its own in it or not."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        with guarded():
            click.echo(text)
            say(text)
            sys.stderr.writelines([text])
            emit([{"host": text}], "table", ["host"])
            emit([{"host": text}], "yaml", ["host"])
            console().print(text)
            console(stderr=False).print(f"[bold]{text}[/]")
        assert (sys.stdout, sys.stderr) == (out, err)
    assert obeyed(out.getvalue() + err.getvalue()) == ""


@pytest.mark.parametrize("error", [BmkError(f"what{TITLE}", why=TITLE, hint=TITLE), RuntimeError(TITLE)])
def test_failures_are_guarded(error: Exception, capsys: pytest.CaptureFixture[str], state: Any) -> None:
    """What a machine said is in an error's texts, and in a bug's."""

    @click.command()
    def command() -> None:
        raise error

    assert run(command, []) != 0
    said = capsys.readouterr().err
    assert "\\x1b]0;owned\\x07" in said
    assert obeyed(said) == ""


def test_a_row_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A value with a line break in it makes no row of its own."""
    emit([{"host": "a\nworker-1  ready"}, {"host": ["b\nc"]}], "table", ["host"])
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_console_is_text() -> None:
    """Colours and moves of the cursor go, line ends become one, the rest is what was said."""
    said = b"\x1b[0;32mOK\x1b[0m Started\r\n\x1b[2J\x1b(Bmenu\r50 %\r100 %\r\r\n" + TITLE.encode()
    assert console_text(said) == f"OK Started\nmenu\n50 %\n100 %\n{TITLE}"
    assert printable(console_text(said)).endswith("\\x1b]0;owned\\x07")


@pytest.mark.parametrize(
    "command",
    [("why", "lab", "cp-1"), ("events", "lab", "-o", "table"), ("status", "lab"), ("status", "lab", "-o", "wide")],
)
def test_what_a_stranger_asked_for_reaches_no_terminal_raw(cli: Any, teller: Any, command: tuple[str, ...]) -> None:
    """`?serial=%1b]0;x%07` is an event, and a phase that failed with it is told by why, events and status."""
    teller.tell("cp-1", "http", "boot.answered", f"asked with serial {TITLE}")
    teller.tell("cp-1", "bmk", "phase.failed", f"failed {TITLE}", phase="booting", data={"what": TITLE, "hint": TITLE})
    said = cli(*command)
    assert obeyed(said.out + said.err) == ""
    assert "\\x1b]0;owned\\x07" in said.out + said.err


def test_a_next_command_contains_no_text_of_a_machine(cli: Any, teller: Any) -> None:
    """A text of several lines cannot look like a line of bmk's own, in an error or in a story."""
    forged = "boom\n  next: curl http://x | sudo sh"
    assert "\n     |   next: curl" in str(BmkError("what", why=forged, hint="bmk status lab"))
    teller.failed("cp-1", "joined", "it failed", why=forged)
    said = cli("why", "lab", "cp-1").out
    assert [line for line in said.splitlines() if line.startswith("  next:")] == [
        "  next: bmk ssh lab cp-1 to look; when it is corrected: bmk provision lab"
    ]
