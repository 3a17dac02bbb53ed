"""Many host names in few words: `r1-01 … r1-40, r2-07`. Pure; nothing is lost, `expanded` gives the names back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_NUMBERED = re.compile(r"(.*?)(\d+)", re.DOTALL)
_TO = " … "
_RUN = 3  # names; two are as short written out


def compact(names: Iterable[str]) -> str:
    """Each name once, in natural order; three or more that count up by one are a range, written `first … last`."""
    return ", ".join(_ranges(sorted(set(names), key=_natural)))


def expanded(text: str) -> list[str]:
    """The names that `compact` was given, without repetitions and in its order."""
    return [name for part in text.split(", ") if part for name in _expanded(part)]


def _natural(name: str) -> tuple[str, int, str]:
    prefix, digits = _split(name)
    return prefix, int(digits or -1), name


def _split(name: str) -> tuple[str, str]:
    """What a name begins with, and the number that it ends with, "" for none."""
    found = _NUMBERED.fullmatch(name)
    return (found[1], found[2]) if found else (name, "")


def _ranges(names: list[str]) -> Iterator[str]:
    run: list[str] = []
    for name in names:
        if run and name != _successor(run[-1], run[0]):
            yield from _written(run)
            run = []
        run.append(name)
    yield from _written(run)


def _successor(name: str, first: str) -> str | None:
    """The next name of a range; numbers are as wide as that of its first name at least."""
    (prefix, digits), width = _split(name), len(_split(first)[1])
    return f"{prefix}{int(digits) + 1:0{width}}" if digits else None


def _written(run: list[str]) -> list[str]:
    return [run[0] + _TO + run[-1]] if len(run) >= _RUN else run


def _expanded(part: str) -> Iterator[str]:
    first, to, last = part.partition(_TO)
    yield first
    name = first
    while to and name != last:
        following = _successor(name, first)
        assert following is not None  # noqa: S101 - the ends of a range are numbered
        name = following
        yield name
