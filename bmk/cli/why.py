"""`bmk why`: one host's timeline from all sources, the likely cause, and the next command."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from bmk.cli.options import dc_argument, host_argument, output_option
from bmk.cli.output import dump

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bmk.journal.diagnosis import Diagnosis
    from bmk.journal.timeline import TimelineEntry

_CONSOLE = 10  # newest lines of the console that are shown
_LONGEST = 12  # lines of one event that are shown: kubeadm can say a lot


@click.command(name="why", epilog="Example: bmk why lab worker-1")
@dc_argument
@host_argument
@click.option("--lines", default=40, show_default=True, help="Newest rows to show; 0 shows all.")
@click.option("--all", "everything", is_flag=True, help="From the first event on, debug events too.")
@output_option("table", "json", "yaml")
def command(dc: str, host: str, lines: int, everything: bool, output: str) -> None:
    """Show what happened to HOST, the likely cause, and what to type next.

    One timeline of BMC, DHCP, HTTP, install ramdisk, ssh, Ansible, kubeadm and serial console, since the newest run
    began; what repeats is one row. Asks no machine. The name of a cluster shows its backups and
    rotations of its encryption key in the same way.
    """
    from bmk.cli.records import open_records, seen
    from bmk.datacenter.hosts import host_named
    from bmk.journal import serial
    from bmk.journal.diagnosis import diagnose, diagnose_cluster
    from bmk.journal.timeline import timeline

    loaded, journal = open_records(dc)
    if host in loaded.spec.clusters and host not in loaded.hosts:
        story = diagnose_cluster(journal, host, dc)
    else:
        host_named(loaded, host)
        story = diagnose(journal, host, seen(journal, dc), everything=everything)
    rows = timeline(story.events, debug=everything)
    log = serial.found(loaded.state, host)
    console = serial.tail(log, _CONSOLE) if log else []
    if output == "table":
        _print(story, rows, console, 0 if everything else lines)
    else:
        dump({**story.as_dict(), "timeline": [row.as_dict() for row in rows], "console": console}, output)


def _print(story: Diagnosis, rows: Sequence[TimelineEntry], console: Sequence[str], lines: int) -> None:
    hidden = max(0, len(rows) - lines) if lines else 0
    if hidden:
        click.echo(f"... {hidden} earlier rows; --lines 0 shows them")
    day = ""
    for row in rows[hidden:]:
        if (today := time.strftime("%Y-%m-%d", time.localtime(row.at))) != day:
            click.echo(day := today)
        click.echo(_line(row))
    if console:
        click.echo("\nthe last it said on its console:")
        click.echo("\n".join(f"  | {text}" for text in console))
    _conclude(story)


def _line(row: TimelineEntry) -> str:
    """`12:30:01  imaging     agent    image 200 MB (12 times, last 12:30:20)`, with a mark for warnings and errors."""
    mark = {"warning": "! ", "error": "X "}.get(row.level, "  ")
    text = "\n".join(row.text.split("\n")[:_LONGEST]).replace("\n", "\n" + " " * 32 + "| ")
    times = f"  ({row.count} times, last {_clock(row.last)})" if row.count > 1 else ""
    return f"{_clock(row.at)}  {row.phase or '-':<11} {row.source:<9} {mark}{text}{times}"


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))


def _conclude(story: Diagnosis) -> None:
    from bmk.journal.host_status import age

    since = f" ({age(story.at.since)} ago)" if story.at.since else ""
    click.echo(f"\n{story.host}: {story.verdict}{since}")
    if story.cause is None:
        return
    for key, text in (("what", story.cause.what), ("why", story.cause.why), ("next", story.cause.hint)):
        if text and text != story.verdict:
            click.echo(f"  {key}: " + text.replace("\n", "\n     | "))
