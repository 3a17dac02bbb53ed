"""The configuration that containerd reads, as it says it itself, flat."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

from bmk.drift.facts.fact import Fact, Found, Wanted


def command(_: Wanted) -> str:
    return "command -v containerd >/dev/null && [ -f /etc/containerd/config.toml ] && containerd config dump"


def parse(lines: Sequence[str]) -> Found:
    try:
        said = tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(str(error)) from error
    return {key: {"value": value} for key, value in _flat(said, "")}


def _flat(value: Any, prefix: str) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [pair for key, inner in value.items() for pair in _flat(inner, f"{prefix}.{key}" if prefix else key)]
    return [(prefix, ",".join(map(str, value)) if isinstance(value, list) else value)]


FACT = Fact("containerd", command, parse)
