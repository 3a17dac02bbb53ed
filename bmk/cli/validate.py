"""`bmk validate`: check a data center file."""

from __future__ import annotations

import click

from bmk.cli.options import dc_argument
from bmk.cli.output import say


@click.command(name="validate")
@dc_argument
def command(dc: str) -> None:
    """Check a data center file; every problem in one go."""
    from bmk.datacenter.load import load_datacenter

    loaded = load_datacenter(dc)
    say(f"{loaded.source}: ok: {len(loaded.hosts)} hosts, {len(loaded.spec.clusters)} clusters")
