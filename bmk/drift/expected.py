"""Intended exceptions of dc.yml (`expected`), each until its end date; and what is under way. Pure."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from datetime import date
from fnmatch import fnmatchcase

from bmk.datacenter.model import Expected
from bmk.drift.model import Finding
from bmk.hardening.apiserver import ENCRYPTION
from bmk.journal.records import KeyRotationOrder


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


def rotating(finding: Finding, order: KeyRotationOrder | None) -> Finding:
    """The finding; expected when it is a file with encryption keys that the rotation under way has put there.

    Any other content of it stays what it is: of keys that nobody put there, or of a rotation that is over.
    """
    difference = finding.difference
    if order is None or (difference.item, difference.field) != (f"files:{ENCRYPTION}", "sha256"):
        return finding
    if difference.have not in order.texts:
        return finding
    return replace(finding, expected=f"the rotation of the encryption key to {order.key} is under way")


def _matches(entry: Expected, finding: Finding, names: Set[str]) -> bool:
    here = not entry.hosts or not names.isdisjoint(entry.hosts)
    return here and any(fnmatchcase(finding.difference.item, pattern) for pattern in entry.items)
