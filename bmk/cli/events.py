"""`bmk events`: the journal as it was written."""

from __future__ import annotations

import re
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from bmk.cli.options import complete_hosts, dc_argument, output_option
from bmk.cli.output import say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bmk.datacenter.resolve import DataCenter
    from bmk.journal import Event, Journal

_LEVELS = ("debug", "info", "warning", "error")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PAGE = 5000  # events read at once: a journal may hold millions


def _since(ctx: click.Context, param: click.Parameter, text: str) -> float:
    """A sequence number; or how long ago (`90s`, `15m`, `2h`, `7d`), as negative seconds."""
    if match := re.fullmatch(r"(\d+)([smhd])", text):
        return -float(int(match[1]) * _UNITS[match[2]])
    if not text.isdigit():
        raise click.BadParameter(f"{text!r} is neither a sequence number nor a duration like 90s, 15m, 2h or 7d")
    return float(text)


@click.command(name="events", epilog="Example: bmk events lab --since 15m --level warning -o table")
@dc_argument
@click.option("--host", metavar="HOST", shell_complete=complete_hosts, help="Only events of this host.")
@click.option("--kind", metavar="KIND", help="Only this kind; with a dot at its end (`image.`) all below it.")
@click.option("--level", type=click.Choice(_LEVELS), default="debug", show_default=True, help="This level and above.")
@click.option(
    "--since",
    callback=_since,
    default="0",
    metavar="SEQ|TIME",
    help="Only after this number, or not older than 90s, 15m, 2h, 7d.",
)
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@output_option("json", "table")
def command(dc: str, follow: bool, since: float, level: str, output: str, **only: str | None) -> None:
    """Print all events, oldest first, as JSON lines. The first line says which schema follows.

    `-o table` prints lines for people. Continue where a reader stopped with --since and the last `seq` it saw.
    """
    from bmk.cli.records import open_records
    from bmk.datacenter.state import open_journal
    from bmk.journal.sinks import JsonLines, format_line

    loaded, journal = open_records(dc)
    if only["host"] is not None:
        _require_known(loaded, journal, only["host"])
    sink = JsonLines(sys.stdout) if output == "json" else None
    if journal is None:
        say(f"nothing has happened in {loaded.name} yet; next: bmk provision {dc}")
        if not follow:
            return
        journal = open_journal(loaded)
    with suppress(KeyboardInterrupt):  # the way to end --follow: no failure
        for event in _stream(journal, since, only, follow):
            if event.level not in _LEVELS[_LEVELS.index(level) :]:
                continue
            if sink is not None:
                sink.take(event)
            else:
                click.echo(format_line(event))


def _stream(journal: Journal, since: float, only: dict[str, str | None], follow: bool) -> Iterator[Event]:
    """Events that match, page by page; with `follow` for ever."""
    seq, earliest = (int(since), 0.0) if since >= 0 else _newer(journal, time.time() + since)
    while True:
        page = journal.since(seq, host=only["host"], kind=only["kind"], limit=_PAGE)
        yield from (event for event in page if event.at >= earliest)
        seq = page[-1].seq if page else seq
        if page:
            continue
        if not follow:
            return
        time.sleep(0.3)


def _newer(journal: Journal, earliest: float) -> tuple[int, float]:
    """Where to begin to read events that are not older. Clocks of sources differ, so each is looked at as well."""
    first = journal.query("SELECT min(seq) FROM events WHERE at >= ?", (earliest,))[0][0]
    return (journal.last_seq() if first is None else first - 1), earliest


def _require_known(dc: DataCenter, journal: Journal | None, host: str) -> None:
    """A host of the file, or one that was in it once: its events are still there."""
    from bmk.datacenter.hosts import host_named

    rows: Sequence[tuple[object, ...]] = ()
    if journal is not None:
        rows = journal.query("SELECT 1 FROM events WHERE host = ? LIMIT 1", (host,))
    if not rows:
        host_named(dc, host)
