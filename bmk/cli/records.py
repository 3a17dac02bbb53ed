"""How commands that only read what is recorded open a data center: no machine is asked, a lab need not be up."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bmk.datacenter.resolve import DataCenter
    from bmk.journal import Journal
    from bmk.journal.host_status import Projection


def open_records(ref: str) -> tuple[DataCenter, Journal | None]:
    """The data center, and its journal when anything ever happened there."""
    from bmk.datacenter.load import load_datacenter
    from bmk.datacenter.state import existing_journal, require_own

    dc = load_datacenter(ref)
    require_own(dc)
    return dc, existing_journal(dc)


def seen(journal: Journal | None, dc: str) -> Projection:
    """What the journal says of all hosts now. `dc` as the user typed it."""
    from bmk.engine.lock import living
    from bmk.journal.host_status import project

    return project(journal, dc, living(journal) if journal is not None else None)
