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

_NAMED = {"hosts": ("host",), "scoped": ("scope", "name")}  # lists of a plan, and what names an entry of each
_WORDS = {"source_sha256": "the data center file", "action": "the command that it is for", "dc": "the data center"}


def save_plan(plan: Plan, path: Path) -> None:
    """Write a plan for `bmk provision --plan`."""
    path.write_text(json.dumps(plan.as_dict(), indent=2, sort_keys=True) + "\n")


def check_against(path: Path, now: Plan) -> None:
    """Refuse unless the plan in the file is exactly what would be done now, in all that it says."""
    different = _differences(_read(path, now.dc), json.loads(json.dumps(now.as_dict())))
    if not different:
        return
    raise PreflightRefused(
        f"facts changed since this plan was made: {', '.join(different)}",
        where=str(path),
        hint=f"bmk plan {now.dc} --out {path}",
    )


def _read(path: Path, dc: str) -> dict[str, Any]:
    saved = read_json(path)
    if not isinstance(saved, dict) or saved.get("schema") != SCHEMA:
        raise ConfigError(f"not a plan of schema {SCHEMA}", where=str(path), hint=f"bmk plan {dc} --out {path}")
    return saved


def _differences(saved: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What the two say differently, for people: hosts and groups by name, anything else in words; nothing when equal.

    The digest follows from the rest. It is named only when it differs alone: then somebody changed the file.
    """
    different = [key for key, said in now.items() if saved.get(key) != said]
    if different == ["digest"]:
        return ["its digest, so the file was edited"]
    return [_named(key, saved.get(key), now[key]) or _WORDS.get(key, key) for key in different if key != "digest"]


def _named(key: str, before: Any, after: Any) -> str:
    """Names of the hosts or groups of which the two lists say different things; empty for anything else."""
    if key not in _NAMED:
        return ""
    old, new = _by_name(key, before), _by_name(key, after)
    return compact(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def _by_name(key: str, listed: Any) -> dict[str, list[Any]]:
    """Entries of a list of a plan by the name of their host or group, of which there may be several."""
    found: dict[str, list[Any]] = {}
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, dict):
            found.setdefault(" ".join(str(entry.get(part)) for part in _NAMED[key]), []).append(entry)
    return found
