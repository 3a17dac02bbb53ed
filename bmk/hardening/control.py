"""What a control is, what its check answers, and constructors for families of controls."""

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
class Control:
    """One requirement. `check` is pure: it maps the evidence of one node, or of the cluster, to a verdict.

    `scope`: whose evidence it takes. `relax`: how to disable the setting, besides a waiver.
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
    """Pass or fail, with the evidence."""
    return Verdict("pass" if condition else "fail", seen)


def not_applicable(why: str) -> Verdict:
    return Verdict("na", why)


_SHOWN = 3


def files(  # noqa: PLR0913, PLR0917 - a table of these reads best in columns
    id_: str,
    title: str,
    cis: tuple[str, ...],
    patterns: Sequence[str],
    mode: int = 0o600,
    scope: Scope = "node",
    severity: Severity = "medium",
    why: str = "It holds keys or decides what runs as root; who can write or read it owns the node.",
) -> Control:
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

    setting = f"{', '.join(patterns)}: at most {mode:04o}, {_owners(patterns)}"
    return Control(id_, title, severity, why, setting, check, scope, cis)


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


def runs_as(id_: str, title: str, process: str, account: Account, why: str) -> Control:
    """A program of the control plane runs as its user and group, with no other group and no capability at all."""

    def check(node: NodeEvidence) -> Verdict:
        seen = node.identity(process)
        if seen is None:
            return Verdict("unknown", f"{process} does not run")
        own = frozenset([account.number])
        return holds(seen.uids == seen.gids == own and not seen.effective | seen.bounding, str(seen))

    setting = f"{process}: user and group {account.number} ({account.name}), no capabilities"
    return Control(id_, title, "high", why, setting, check, "control_plane", ("5.2.7", "5.2.9"))


def flag(  # noqa: PLR0913, PLR0917 - columns of a table
    id_: str,
    title: str,
    cis: tuple[str, ...],
    process: str,
    name: str,
    good: Callable[[str | None], bool],
    setting: str,
    why: str,
    severity: Severity = "medium",
    scope: Scope = "control_plane",
) -> Control:
    """A flag of a running process. `good` gets None when the flag is not given."""

    def check(node: NodeEvidence) -> Verdict:
        flags = node.flags(process)
        if flags is None:
            return Verdict("unknown", f"{process} does not run")
        value = flags.get(name)
        return holds(good(value), f"--{name}={value}" if value is not None else f"--{name} is not set")

    return Control(id_, title, severity, why, setting, check, scope, cis)


def flags(  # noqa: PLR0913, PLR0917 - columns of a table
    id_: str, title: str, cis: tuple[str, ...], process: str, names: tuple[str, ...], why: str
) -> Control:
    """Several flags that must all be given."""

    def check(node: NodeEvidence) -> Verdict:
        flags = node.flags(process)
        if flags is None:
            return Verdict("unknown", f"{process} does not run")
        missing = [f"--{name}" for name in names if not flags.get(name)]
        return holds(not missing, f"not set: {', '.join(missing)}" if missing else ", ".join(f"--{n}" for n in names))

    return Control(
        id_, title, "high", why, f"{process}: {', '.join(f'--{n}' for n in names)}", check, "control_plane", cis
    )


def kubelet(  # noqa: PLR0913, PLR0917 - columns of a table
    id_: str,
    title: str,
    cis: tuple[str, ...],
    keys: tuple[str, ...],
    good: Callable[[Any], bool],
    setting: str,
    why: str,
    severity: Severity = "medium",
) -> Control:
    """A setting of the kubelet's configuration, whose scalars are text; `good` gets None when it is not there."""

    def check(node: NodeEvidence) -> Verdict:
        value: Any = node.kubelet
        if not value:
            return Verdict("unknown", "the kubelet has no configuration here")
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return holds(good(value), f"{'.'.join(keys)}: {_short(value)}")

    return Control(id_, title, severity, why, setting, check, "node", cis)


def runtime(  # noqa: PLR0913, PLR0917 - columns of a table
    id_: str,
    title: str,
    at: tuple[str, ...],
    good: Callable[[Any], bool],
    setting: str,
    why: str,
    severity: Severity = "medium",
    cis: tuple[str, ...] = (),
) -> Control:
    """A value of `containerd config dump`; `at` is the plug-in and the keys below it."""

    def check(node: NodeEvidence) -> Verdict:
        if not node.containerd:
            return Verdict("unknown", f"containerd config dump: {node.raw['containerd']['err'] or 'nothing readable'}")
        value = node.runtime(*at)
        return holds(good(value), f"{at[0].rpartition('.')[2]} {'.'.join(at[1:])} = {_short(value)}")

    return Control(id_, title, severity, why, setting, check, "node", cis)


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
