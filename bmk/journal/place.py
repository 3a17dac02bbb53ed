"""Which file the state of a data center belongs to: two checkouts with one name would share grants, keys and machines.

The state directory remembers the file. Another one with the same name is refused while the first is still there. When
that one is gone, it was moved: its state goes with it, and the journal says so. `bmk adopt` lets a copy take over.
"""

from __future__ import annotations

from pathlib import Path

from bmk.errors import PreflightRefused
from bmk.journal.events import Event
from bmk.journal.store import Journal
from bmk.paths import private_dir, state_dir

FILE = "file"  # below the state directory: the path of dc.yml


def claim(name: str, source: Path) -> None:
    """Remember the file of a data center whose state is used from now on. Raises PreflightRefused as `require_own`."""
    require_own(name, source)
    if _remembered(name) != source.resolve():
        adopt(name, source)


def require_own(name: str, source: Path) -> None:
    """Raise PreflightRefused, with what to do, when the state belongs to another file that is still there."""
    before = _remembered(name)
    if before is None or before == source.resolve() or not before.is_file():
        return
    raise PreflightRefused(
        f"the state of {name} belongs to another file of that name",
        where=str(state_dir(name)),
        why=f"it was made for {before}, this is {source.resolve()}",
        hint=f"bmk adopt {source}, when this file takes its place; else another metadata.name, or BMK_STATE_DIR",
    )


def adopt(name: str, source: Path) -> Path | None:
    """Let the state belong to this file from now on; returns the one it belonged to."""
    before, state = _remembered(name), state_dir(name)
    private_dir(state)
    (state / FILE).write_text(f"{source.resolve()}\n")
    if before is not None and before != source.resolve():
        journal = Journal(state / "journal.db")
        journal.append(
            Event("bmk", "state.adopted", f"the state is that of {source.resolve()} now, before of {before}")
        )
        journal.close()
    return before


def _remembered(name: str) -> Path | None:
    try:
        return Path((state_dir(name) / FILE).read_text().strip())
    except FileNotFoundError:
        return None
