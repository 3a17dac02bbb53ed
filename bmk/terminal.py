"""Text on its way to a terminal: hosts, BMCs and strangers choose parts of it, and a terminal does what it reads.

Everything that bmk prints goes through `guarded`, whoever prints it: a control character is shown, not done. Live
sessions (`bmk ssh`, `bmk lab console`) belong to the machine at their other end, as with any ssh.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO, cast

_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[()][0-9A-Za-z]|[=>78cDEHMNOZ])")
_LINE_END = re.compile(r"\r+\n|\r+")


def printable(text: str) -> str:
    """The text with each character that a terminal would obey, or that hides or turns others, written as its escape.

    Line breaks and tabs stay; what is printable already is returned as it is.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def console_text(raw: bytes) -> str:
    """What a serial console said, as text: without colours and moves of the cursor, which firmware is full of."""
    return _LINE_END.sub("\n", _SEQUENCE.sub("", raw.decode(errors="replace")))


class _Guard:
    """A stream on which text is printable. It has no `buffer`: bytes do not pass by it."""

    def __init__(self, beneath: TextIO) -> None:
        self.beneath = beneath

    def write(self, text: str) -> int:
        self.beneath.write(printable(text))
        return len(text)

    def writelines(self, lines: Iterator[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self.beneath.flush()

    def isatty(self) -> bool:
        return self.beneath.isatty()

    def fileno(self) -> int:
        return self.beneath.fileno()

    @property
    def encoding(self) -> str:
        return self.beneath.encoding

    @property
    def errors(self) -> str | None:
        return self.beneath.errors


@contextmanager
def guarded() -> Iterator[None]:
    """Standard output and standard error are guarded within."""
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, _Guard(stream)) for stream in streams)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams


def beneath(stream: TextIO) -> TextIO:
    """The stream itself, for whoever writes colours and moves of his own and makes what he was given printable."""
    return stream.beneath if isinstance(stream, _Guard) else stream
