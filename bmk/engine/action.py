"""An action is what a command does to a data center: its phases, in order, and how far it may go at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

from bmk.engine.phase import GroupPhase, Phase
from bmk.engine.rollout import Rollout
from bmk.journal.left_alone import Kind


@dataclass(frozen=True, slots=True)
class Action:
    """`name` is the command's; it stands in plans and in the record of each run.

    `takes`: which hosts it touches of those that other actions leave alone (`journal.left_alone`). `guarded`: it leaves
    clusters alone of which the file wants what they cannot become; `brings`: guarded fields (`bmk.plan.guards`) that it
    brings from one value to another, which others refuse.
    """

    name: str
    phases: tuple[Phase | GroupPhase, ...]
    rollout: Rollout = field(default_factory=Rollout)
    takes: frozenset[Kind] = frozenset()
    guarded: bool = True
    brings: tuple[str, ...] = ()
