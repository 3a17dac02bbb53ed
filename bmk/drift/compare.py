"""Desired against facts. Pure. Only what is desired is compared; where a place is closed, further items differ too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from bmk.drift.model import Attributes, Desired, Difference, Facts

_ABSENT = {"type": "absent"}


def compare(desired: Desired, actual: Facts) -> list[Difference]:
    """Every difference, sorted by what it is about; the order of neither side matters.

    A kind that is missing in `actual` has no differences: `missing_kinds` names it.
    """
    found = [d for kind, items in desired.facts.items() if kind in actual for d in _kind(kind, items, actual[kind])]
    return sorted([*found, *_unexpected(desired, actual)], key=lambda d: (d.kind, d.id, d.field))


def missing_kinds(desired: Desired, actual: Facts) -> list[str]:
    """Kinds of which something is desired and that the facts lack."""
    return sorted(kind for kind, items in desired.facts.items() if items and kind not in actual)


def _kind(kind: str, wanted: Mapping[str, Attributes], there: Mapping[str, Attributes]) -> Iterator[Difference]:
    for name, attributes in wanted.items():
        have = there.get(name)
        if have is None:
            if dict(attributes) != _ABSENT:
                yield Difference(kind, name, "", _short(attributes), None)
        elif dict(attributes) == _ABSENT:
            yield Difference(kind, name, "", None, _short(have))
        else:
            yield from _attributes(kind, name, attributes, have)


def _attributes(kind: str, name: str, wanted: Attributes, have: Attributes) -> Iterator[Difference]:
    """Another type is one difference: owner, mode and content of a link where a file should be add nothing."""
    fields = ("type",) if wanted.get("type", have.get("type")) != have.get("type") else tuple(wanted)
    for field in fields:
        if wanted.get(field) != have.get(field):
            yield Difference(kind, name, field, wanted.get(field), have.get(field))


def _unexpected(desired: Desired, actual: Facts) -> Iterator[Difference]:
    for kind, items in actual.items():
        patterns = [p.partition(":")[2] for p in desired.owned if p.partition(":")[0] == kind]
        known = desired.facts.get(kind, {})
        for name, have in items.items() if patterns else ():
            if name in known or f"{kind}:{name}" in desired.allowed:
                continue
            if any(fnmatchcase(name, p) for p in patterns):
                yield Difference(kind, name, "", None, _short(have))


def _short(attributes: Attributes) -> str:
    return ", ".join(f"{key} {value}" for key, value in sorted(attributes.items()) if value not in (None, ""))
