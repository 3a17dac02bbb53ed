"""What a machine said on its serial console, kept in a file: the lab listens always, to others one has to listen."""

from __future__ import annotations

import re
from pathlib import Path

_ESCAPES = re.compile(r"\x1b(\[[0-9;?=]*[A-Za-z]|[()][A-Za-z0-9]|[=>c78])")


def kept(state: Path, host: str) -> Path:
    """Where the console of a real machine is kept, by whoever reads it from the BMC."""
    return state / "consoles" / f"{host}.log"


def found(state: Path, host: str) -> Path | None:
    """The file that keeps a console, the lab's first; None when nobody has listened yet."""
    lab = state / "lab" / "machines" / host / "console.log"
    return next((path for path in (lab, kept(state, host)) if path.exists()), None)


def tail(path: Path, lines: int, size: int = 65536) -> list[str]:
    """The newest lines of text among the last `size` bytes: firmware paints with escapes and rewrites lines."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - size))
        text = file.read().decode(errors="replace")
    return plain(text)[-lines:]


def plain(text: str) -> list[str]:
    """Lines without escapes, control characters and emptiness."""
    rows = re.split(r"[\r\n]+", _ESCAPES.sub("", text))
    cleaned = ("".join(c for c in row if c.isprintable() and c != "\ufffd").rstrip() for row in rows)
    return [row for row in cleaned if row.strip()]
