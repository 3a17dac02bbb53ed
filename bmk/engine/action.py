"""An action is what a command does to a data center: its phases, in order."""

from __future__ import annotations

from dataclasses import dataclass

from bmk.engine.phase import Phase


@dataclass(frozen=True, slots=True)
class Action:
    """`name` is the command's; it stands in plans and in the record of each run."""

    name: str
    phases: tuple[Phase, ...]
