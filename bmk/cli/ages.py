"""How long ago, as people type it."""

from __future__ import annotations

import re

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_ago(text: str) -> float:
    """`90s`, `15m`, `2h` or `7d` in seconds."""
    match = re.fullmatch(r"(\d+)([smhd])", text)
    if match is None:
        raise click.BadParameter(f"{text!r} is no duration like 90s, 15m, 2h or 7d", param_hint="--since")
    return float(match[1]) * _UNITS[match[2]]
