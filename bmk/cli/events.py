"""`bmk events`: the journal as it was written."""

from __future__ import annotations

import sys
import time

import click

from bmk.cli.options import complete_hosts, dc_argument, output_option

_LEVELS = ("debug", "info", "warning", "error")


@click.command(name="events")
@dc_argument
@click.option("--host", metavar="HOST", shell_complete=complete_hosts, help="Only events of this host.")
@click.option("--kind", metavar="KIND", help="Only this kind; `image.` means all below it.")
@click.option("--level", type=click.Choice(_LEVELS), default="info", show_default=True, help="This level and above.")
@click.option("--since", type=int, default=0, metavar="SEQ", help="Only events after this number.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@output_option("table", "json")
def command(dc: str, follow: bool, since: int, level: str, output: str, **only: str | None) -> None:
    """Print events, oldest first. `-o json` prints JSON lines; the first says which schema follows."""
    from bmk.journal.sinks import JsonLines, format_line
    from bmk.phases.site import open_records

    _, journal = open_records(dc)
    wanted = _LEVELS[_LEVELS.index(level) :]
    sink = JsonLines(sys.stdout) if output == "json" else None
    while True:
        for event in journal.since(since, host=only["host"], kind=only["kind"]):
            since = event.seq
            if event.level not in wanted:
                continue
            if sink is not None:
                sink.take(event)
            else:
                click.echo(format_line(event))
        if not follow:
            return
        time.sleep(0.3)
