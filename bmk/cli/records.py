"""How commands that only read what is recorded open a data center: no machine is asked, a lab need not be up."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bmk.datacenter.resolve import DataCenter
    from bmk.journal import Journal


def open_records(ref: str) -> tuple[DataCenter, Journal | None]:
    """The data center, and its journal when anything ever happened there."""
    from bmk.datacenter.load import load_datacenter
    from bmk.datacenter.state import existing_journal, require_own

    dc = load_datacenter(ref)
    require_own(dc)
    return dc, existing_journal(dc)
