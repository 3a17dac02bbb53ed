"""Intended exceptions of dc.yml (`expected`), each until its end date. Pure."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from datetime import date
from fnmatch import fnmatchcase

from bmk.datacenter.model import Expected
from bmk.drift.model import Finding


def mark_expected(finding: Finding, entries: tuple[Expected, ...], names: Set[str], today: date) -> Finding:
    """The finding, with the reason when it is intended. `names` are its host, rack, role, profile and cluster.

    An entry that is over excuses nothing, and the finding says so.
    """
    notes = []
    for entry in entries:
        if not _matches(entry, finding, names):
            continue
        if today <= entry.until:
            return replace(finding, expected=f"{entry.reason} (until {entry.until})")
        notes.append(f"expected until {entry.until}, which is over: {entry.reason}")
    return replace(finding, note="; ".join(filter(None, [finding.note, *notes]))) if notes else finding


def _matches(entry: Expected, finding: Finding, names: Set[str]) -> bool:
    here = not entry.hosts or not names.isdisjoint(entry.hosts)
    return here and any(fnmatchcase(finding.difference.item, pattern) for pattern in entry.items)
