"""`bmk init`: start a data center file."""

from __future__ import annotations

from pathlib import Path

import click

from bmk.cli.output import say


@click.command(name="init")
@click.argument("name")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("inventories"),
    show_default=True,
    help="Where data centers lie.",
)
def command(name: str, directory: Path) -> None:
    """Start a data center file: commented, valid, and yours to edit. Nothing is overwritten."""
    from bmk.datacenter.write import start_datacenter

    for path in start_datacenter(name, directory):
        click.echo(str(path))
    say(f"next: edit {directory / name / 'dc.yml'}, then bmk validate {name} --write")
