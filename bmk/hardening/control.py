"""What a control is, what its check answers, and constructors for families of requirements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from bmk.hardening.accounts import BY_PATH, Account, Owned, owned_at
from bmk.hardening.evidence import NodeEvidence

Scope = Literal["node", "control_plane", "cluster"]
Severity = Literal["high", "medium", "low"]
State = Literal["pass", "fail", "na", "unknown"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of a check. `seen` is the evidence in words: the value in force, or why there is none."""

    state: State
    seen: str


@dataclass(frozen=True, slots=True)
class Requirement:
    """What must be so: `setting` for people, and `check`, which is pure and maps evidence to a verdict.

    `scope`: whose evidence it takes: that of every node, of each control plane, or of a cluster's API.
    """

    setting: str
    check: Callable[[Any], Verdict]
    scope: Scope = "node"


@dataclass(frozen=True, slots=True)
class Control:
    """One requirement, with its reason. `relax`: how to disable the setting, besides a waiver."""

    id: str
    title: str
    severity: Severity
    why: str
    requirement: Requirement
    cis: tuple[str, ...] = ()
    relax: str = ""


def holds(condition: bool, seen: str) -> Verdict:
    """Pass or fail, with the evidence."""
    return Verdict("pass" if condition else "fail", seen)


def not_applicable(why: str) -> Verdict:
    return Verdict("na", why)


PRIVILEGED_FILE = "It holds keys or decides what runs as root; who can write or read it owns the node."
_SHOWN = 3


def files(*patterns: str, mode: int = 0o600, scope: Scope = "node") -> Requirement:
    """Files exist, belong to whom accounts.py says (root, mostly), and allow no more than it or `mode` says."""

    def check(node: NodeEvidence) -> Verdict:
        found = node.files(*patterns)
        if not found:
            return not_applicable(f"no {' '.join(patterns)} here")
        wrong = [str(f) for f in found if f.mode & ~_loosest(f.path, mode) or (f.uid, f.gid) != owned_at(f.path).ids]
        seen = (
            ", ".join(wrong[:_SHOWN]) if wrong else f"{found[0]}" + (f" and {len(found) - 1} more" if found[1:] else "")
        )
        return holds(not wrong, seen)

    return Requirement(f"{', '.join(patterns)}: at most {mode:04o}, {_owners(patterns)}", check, scope)


def _loosest(path: str, mode: int) -> int:
    """A key that two programs use is open to the group of one of them."""
    return mode | BY_PATH[path].mode if path in BY_PATH else mode


def _owners(patterns: Sequence[str]) -> str:
    """Who may own such files, for people to read."""
    own = {o.owner.name for pattern in patterns for o in _covered(pattern)}
    return (
        "root:root"
        if own <= {"root"}
        else f"of the program that reads it ({', '.join(sorted(own - {'root'}))}) or root's"
    )


def _covered(pattern: str) -> list[Owned]:
    """Owned paths that a pattern names; most name one, and all patterns are looked at whenever bmk starts."""
    if "*" not in pattern:
        return [BY_PATH[pattern]] if pattern in BY_PATH else []
    return [owned for owned in BY_PATH.values() if PurePosixPath(owned.path).match(pattern)]


def runs_as(process: str, account: Account) -> Requirement:
    """A program of the control plane runs as its user and group, with no other group and no capability at all."""

    def check(node: NodeEvidence) -> Verdict:
        seen = node.identity(process)
        if seen is None:
            return Verdict("unknown", f"{process} does not run")
        own = frozenset([account.number])
        return holds(seen.uids == seen.gids == own and not seen.effective | seen.bounding, str(seen))

    setting = f"{process}: user and group {account.number} ({account.name}), no capabilities"
    return Requirement(setting, check, "control_plane")


def flag(process: str, name: str, good: Callable[[str | None], bool], setting: str) -> Requirement:
    """A flag of a program of the control plane that runs. `good` gets None when the flag is not given."""

    def check(node: NodeEvidence) -> Verdict:
        in_force = node.flags(process)
        if in_force is None:
            return Verdict("unknown", f"{process} does not run")
        value = in_force.get(name)
        return holds(good(value), f"--{name}={value}" if value is not None else f"--{name} is not set")

    return Requirement(setting, check, "control_plane")


def flags(process: str, *names: str) -> Requirement:
    """Flags of a program of the control plane that must all be given."""
    given_all = ", ".join(f"--{name}" for name in names)

    def check(node: NodeEvidence) -> Verdict:
        in_force = node.flags(process)
        if in_force is None:
            return Verdict("unknown", f"{process} does not run")
        missing = [f"--{name}" for name in names if not in_force.get(name)]
        return holds(not missing, f"not set: {', '.join(missing)}" if missing else given_all)

    return Requirement(f"{process}: {given_all}", check, "control_plane")


def kubelet(keys: tuple[str, ...], good: Callable[[Any], bool], setting: str) -> Requirement:
    """A setting of the kubelet's configuration, whose scalars are text; `good` gets None when it is not there."""

    def check(node: NodeEvidence) -> Verdict:
        value: Any = node.kubelet
        if not value:
            return Verdict("unknown", "the kubelet has no configuration here")
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return holds(good(value), f"{'.'.join(keys)}: {_short(value)}")

    return Requirement(setting, check)


def runtime(keys: tuple[str, ...], good: Callable[[Any], bool], setting: str) -> Requirement:
    """A value of `containerd config dump`; the first of `keys` is the plug-in."""

    def check(node: NodeEvidence) -> Verdict:
        if not node.containerd:
            return Verdict("unknown", f"containerd config dump: {node.raw['containerd']['err'] or 'nothing readable'}")
        plugin, value = keys[0].rpartition(".")[2], node.runtime(*keys)
        return holds(good(value), f"{plugin} {'.'.join(keys[1:])} = {_short(value)}")

    return Requirement(setting, check)


def one_of(*values: str | None) -> Callable[[str | None], bool]:
    return lambda value: value in values


def given(value: Any) -> bool:
    """Set to something."""
    return bool(value)


def not_true(value: Any) -> bool:
    return str(value).lower() != "true"


def among(word: str) -> Callable[[str | None], bool]:
    """A list of words, separated by commas, that has this one."""
    return lambda value: word in (value or "").split(",")


def at_least(number: int) -> Callable[[Any], bool]:
    return lambda value: str(value).isdigit() and int(value) >= number


def _short(value: Any) -> str:
    text = "not set" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 100 else text[:97] + "..."
