"""The configuration that containerd reads, as it says it itself, flat."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence

from bmk.drift.facts.fact import Fact, Found, Wanted
from bmk.drift.flat import flat


def command(_: Wanted) -> str:
    return "command -v containerd >/dev/null && [ -f /etc/containerd/config.toml ] && containerd config dump"


def parse(lines: Sequence[str]) -> Found:
    try:
        said = tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(str(error)) from error
    return {key: {"value": value} for key, value in flat(said).items()}


FACT = Fact("containerd", command, parse)
