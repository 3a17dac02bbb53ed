"""What bmk knows about one kind of item that drift compares: how severe a difference is, and what repairs it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from pkgutil import iter_modules

from bmk.drift.model import Attributes, Desired, Difference, Repair, Severity

Items = Mapping[str, Attributes]  # id -> attributes
Repairer = Callable[[Difference, Desired], Repair]
INSPECT = "bmk ssh {dc} {where} to look; when it is right as it is: expected: in dc.yml"
INTRUDER = "when somebody else was on it: bmk reinstall {dc} {where}"


@dataclass(frozen=True, slots=True)
class Rule:
    """How severe some differences of a kind are.

    `id` is a pattern over ids; `field` a field, "" (missing or unexpected), "+" (unexpected), "-" (missing) or "*".
    `next`: a command for people in place of the kind's, with {dc} and {where}.
    """

    id: str
    field: str
    severity: Severity
    note: str = ""
    next: str = ""

    def matches(self, difference: Difference) -> bool:
        fields = {"*", difference.field}
        if not difference.field:
            fields |= {sign for sign, side in (("+", difference.want), ("-", difference.have)) if side is None}
        return self.field in fields and fnmatchcase(difference.id, self.id)


def by_hand(_: Difference, __: Desired) -> Repair:
    """Needs a human decision."""
    return ""


def by_role(difference: Difference, desired: Desired) -> Repair:
    """The role that declared the item sets it again."""
    return "converge" if difference.item in desired.owners else ""


def by_play(_: Difference, __: Desired) -> Repair:
    """A task of playbooks/configure.yml."""
    return "converge"


def by_api(difference: Difference, _: Desired) -> Repair:
    """Written through the API: objects and fields that bmk declares, and objects that are too many."""
    return "api" if difference.want is not None or not difference.field else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Everything that drift knows about one kind of item. A new kind is found where its module defines it.

    `rules` are in order, the first that matches counts; a kind without rules is never compared. `closed` are patterns
    over ids: an item that matches and is neither desired nor `allowed` is a difference. `next` is the command for
    people where nothing repairs it. `restarts`: the systemd unit that a converge restarts on a host with a difference.
    """

    name: str
    rules: tuple[Rule, ...] = ()
    repair: Repairer = by_hand
    next: str = INSPECT
    closed: tuple[str, ...] = ()
    allowed: frozenset[str] = frozenset()
    restarts: str = ""

    @property
    def owned(self) -> tuple[str, ...]:
        """`closed` as patterns over `kind:id`."""
        return tuple(f"{self.name}:{pattern}" for pattern in self.closed)


def discover(package: str, path: Sequence[str]) -> tuple[Kind, ...]:
    """Every Kind that the modules of a package define, by module and then in the order of the file."""
    modules = [import_module(f"{package}.{found.name}") for found in iter_modules(path)]
    return tuple(value for module in modules for value in vars(module).values() if isinstance(value, Kind))
