"""`bmk status`: where each host is, from the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bmk.cli.options import dc_argument, limit_option, output_option
from bmk.cli.output import console, emit

if TYPE_CHECKING:
    from bmk.datacenter.resolve import Host
    from bmk.journal import Journal


@click.command(name="status")
@dc_argument
@limit_option
@output_option()
@click.option("--watch", is_flag=True, help="Follow until Ctrl-C.")
def command(dc: str, limit: tuple[str, ...], output: str, watch: bool) -> None:
    """Show where each host is: its phase, since when, and what it does or died of. Asks no machine."""
    from bmk.datacenter.select import select_hosts
    from bmk.journal.where import newest, row, where
    from bmk.phases.lock import living
    from bmk.phases.site import open_records

    loaded, journal = open_records(dc)
    hosts = select_hosts(loaded, (), limit)
    if watch:
        _watch(journal, [h.name for h in hosts])
        return
    events, run = newest(journal), living(journal)
    rows = [{**row(where(h.name, events.get(h.name), run)), **_fixed(h)} for h in hosts]
    emit(rows, output, ("host", "role", "state", "phase", "for", "now"), ("address", "bmc", "rack", "cluster"))


def _fixed(host: Host) -> dict[str, object]:
    return {
        "role": host.role,
        "address": str(host.address),
        "bmc": str(host.bmc_address),
        "rack": host.rack,
        "cluster": host.cluster,
    }


def _watch(journal: Journal, hosts: list[str]) -> None:
    """The live table of `provision`, for whoever looks on."""
    import time
    from contextlib import closing

    from bmk.journal.console import LiveTable

    with closing(LiveTable(console(stderr=False), hosts)) as table:
        seq = 0
        while True:
            for event in journal.since(seq):
                seq = event.seq
                table.take(event)
            time.sleep(0.3)
