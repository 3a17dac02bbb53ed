"""`bmk why`: one host's timeline from all sources, the likely cause, and the next command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bmk.cli.options import dc_argument, host_argument, output_option
from bmk.cli.output import dump

if TYPE_CHECKING:
    from bmk.journal.story import Story


@click.command(name="why")
@dc_argument
@host_argument
@click.option("--lines", default=40, show_default=True, help="Newest events to show; 0 shows all.")
@click.option("--all", "everything", is_flag=True, help="From the first event on, debug events too.")
@output_option("table", "json", "yaml")
def command(dc: str, host: str, lines: int, everything: bool, output: str) -> None:
    """Show what happened to HOST from all sources and its console, the likely cause, and what to do next."""
    import time

    from bmk.datacenter.select import host_named
    from bmk.journal.story import tell
    from bmk.phases.site import open_records

    loaded, journal = open_records(dc)
    host_named(loaded, host)
    story = tell(journal, dc, host, time.time(), everything=everything)
    console = _console(loaded.name, host)
    if output == "table":
        _print(story, console, 0 if everything else lines)
    else:
        dump({**story.as_dict(), "console": console}, output)


def _print(story: Story, console: list[str], lines: int) -> None:
    from bmk.journal.sinks import format_line

    hidden = max(0, len(story.events) - lines) if lines else 0
    if hidden:
        click.echo(f"... {hidden} earlier events; --all shows them")
    for event in story.events[hidden:]:
        click.echo(format_line(event))
    if console:
        click.echo("\nlast lines of its console:")
        click.echo("\n".join(f"  | {line}" for line in console))
    click.echo(f"\n{story.host}: {story.verdict}")
    if story.cause is not None:
        for key, text in (("what", story.cause.what), ("why", story.cause.why), ("next", story.cause.hint)):
            if text:
                click.echo(f"  {key}: " + text.replace("\n", "\n        "))


def _console(dc: str, host: str, lines: int = 12) -> list[str]:
    """The newest lines of the serial console, printable characters only: firmware paints with escapes."""
    import re

    from bmk.paths import state_dir

    state = state_dir(dc)
    logs = [state / "lab" / "machines" / host / "console.log", state / "console" / f"{host}.log"]
    log = next((path for path in logs if path.exists()), None)
    if log is None:
        return []
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[^\x20-\x7e\n]", "", _tail(log))
    return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]


def _tail(path: Path, size: int = 16384) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - size))
        return file.read().decode(errors="replace")
