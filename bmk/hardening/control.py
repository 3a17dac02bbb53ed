"""What a control is, and what its check answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Scope = Literal["node", "control_plane", "cluster"]
Severity = Literal["high", "medium", "low"]
State = Literal["pass", "fail", "na", "unknown"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found. `seen` is the evidence in words: the value that is in force, or why there is none."""

    state: State
    seen: str


@dataclass(frozen=True, slots=True)
class Control:
    """One thing that must hold. `check` is pure: evidence of one node, or of the cluster, in; a verdict out.

    `scope` says whose evidence it takes. `relax`: what to type when it must not hold, beside a waiver.
    """

    id: str
    title: str
    severity: Severity
    why: str
    setting: str
    check: Callable[[Any], Verdict]
    scope: Scope = "node"
    cis: tuple[str, ...] = ()
    relax: str = ""


def holds(condition: bool, seen: str) -> Verdict:
    """Pass or fail, with what was seen."""
    return Verdict("pass" if condition else "fail", seen)


def not_applicable(why: str) -> Verdict:
    return Verdict("na", why)
