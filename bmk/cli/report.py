"""`bmk report`: the page about a data center."""

from __future__ import annotations

from pathlib import Path

import click

from bmk.cli.options import dc_argument
from bmk.cli.output import say


@click.command(name="report", epilog="Example: bmk report par --write par.html")
@dc_argument
@click.option("--write", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file, not to stdout.")
def command(dc: str, write: Path | None) -> None:
    """Write one HTML page: racks by state, each host's timeline and drift, drift over the last runs.

    Told from the journal; asks no machine. The page needs no network and no server.
    """
    from bmk.cli.records import open_records, seen
    from bmk.report.site import write_page

    loaded, journal = open_records(dc)
    page = write_page(loaded, journal, seen(journal, dc))
    if write is None:
        click.echo(page, nl=False)
    else:
        write.write_text(page)
        say(f"written to {write}")
