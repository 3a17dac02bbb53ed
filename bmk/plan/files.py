"""A plan in a file: exactly the plan that was reviewed runs, or nothing does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bmk.document import read_json
from bmk.errors import ConfigError, PreflightRefused
from bmk.hostlist import compact
from bmk.plan.model import SCHEMA, Plan


def save_plan(plan: Plan, path: Path) -> None:
    """Write a plan for `bmk provision --plan`."""
    path.write_text(json.dumps(plan.as_dict(), indent=2, sort_keys=True) + "\n")


def check_against(path: Path, now: Plan) -> None:
    """Refuse unless the plan in the file is exactly what would be done now."""
    saved = _read(path, now.dc)
    if saved.get("digest") == now.digest:
        return
    raise PreflightRefused(
        f"facts changed since this plan was made: {compact(_differences(saved, now)) or 'the data center file'}",
        where=str(path),
        hint=f"bmk plan {now.dc} --out {path}",
    )


def _read(path: Path, dc: str) -> dict[str, Any]:
    saved = read_json(path)
    if not isinstance(saved, dict) or saved.get("schema") != SCHEMA:
        raise ConfigError(f"not a plan of schema {SCHEMA}", where=str(path), hint=f"bmk plan {dc} --out {path}")
    return saved


def _differences(saved: Mapping[str, Any], now: Plan) -> list[str]:
    """Names of the hosts whose changes are not the same."""
    before = _changes(saved)
    after = _changes(json.loads(json.dumps(now.as_dict())))
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def _changes(plan: Mapping[str, Any]) -> dict[str, Any]:
    hosts = plan.get("hosts")
    listed = [host for host in hosts if isinstance(host, dict)] if isinstance(hosts, list) else []
    return {str(host.get("host")): host.get("changes") for host in listed}
