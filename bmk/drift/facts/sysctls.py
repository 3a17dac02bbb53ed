"""Kernel settings as they are now; the file that keeps them is a file."""

from __future__ import annotations

from collections.abc import Sequence

from bmk.drift.facts.fact import Fact, Found, Wanted, words

_ROOT = "/proc/sys/"


def command(wanted: Wanted) -> str:
    paths = [_ROOT + name.replace(".", "/") for name in wanted.of("sysctls")]
    return f"grep -H '' {words(paths)}" if paths else ""


def parse(lines: Sequence[str]) -> Found:
    found: Found = {}
    for line in lines:
        path, colon, value = line.partition(":")
        if not colon or not path.startswith(_ROOT):
            raise ValueError(f"not a setting: {line[:80]!r}")
        found[path.removeprefix(_ROOT).replace("/", ".")] = {"value": " ".join(value.split())}
    return found


FACT = Fact("sysctls", command, parse)
