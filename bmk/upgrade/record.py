"""The upgrade of a cluster that is under way, from its record to what decisions are made by."""

from __future__ import annotations

from bmk.journal import Journal
from bmk.journal.records import UpgradeRecord
from bmk.upgrade.model import Accepted, Standing


def standing(journal: Journal, cluster: str) -> Standing | None:
    """None: no upgrade is under way."""
    known = UpgradeRecord.load(journal, cluster)
    if known is None:
        return None
    accepted = {kind: Accepted(one.reason, one.items) for kind, one in known.accepted.items()}
    return Standing(known.target, accepted, frozenset(known.without), known.aborted)
