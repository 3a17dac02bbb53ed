"""The manifest that the last converge left on the host. Believed only when it is sealed (bmk/drift/seal.py)."""

from __future__ import annotations

import json
from collections.abc import Sequence

from bmk.drift.facts.fact import Fact, Found, Wanted


def command(_: Wanted) -> str:
    return "[ -f /etc/bmk/manifest.json ] && cat /etc/bmk/manifest.json"


def parse(lines: Sequence[str]) -> Found:
    text = "\n".join(lines).strip()
    return {"manifest": json.loads(text)} if text else {}


FACT = Fact("manifest", command, parse)
