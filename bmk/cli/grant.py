"""`bmk grant`: permissions to install."""

from __future__ import annotations

import click

from bmk.cli.options import dc_argument, host_argument, output_option
from bmk.cli.output import emit, say


@click.group(name="grant")
def command() -> None:
    """List or revoke permissions to install."""


@command.command(name="list")
@dc_argument
@click.option("--all", "everything", is_flag=True, help="Also those that ended.")
@output_option()
def list_(dc: str, everything: bool, output: str) -> None:
    """List open grants: while there is none, nothing is ever installed."""
    import time

    from bmk.boot import grants
    from bmk.journal.where import age
    from bmk.phases.site import open_records

    _, journal = open_records(dc)
    now = time.time()
    rows = [
        {
            "host": g.host,
            "id": g.id,
            "attempt": g.attempt,
            "state": g.outcome or ("expired" if not g.open_at(now) else "claimed" if g.claimed else "open"),
            "opened": age(g.opened, now),
            "disk": g.disk.get("serial") or g.disk.get("wwn") or g.disk.get("size") or "the only disk",
            "confirmed": g.confirmed,
            "image_sha256": g.image_sha256,
        }
        for g in grants.listed(journal)
        if everything or g.open_at(now)
    ]
    emit(rows, output, ("host", "state", "attempt", "opened", "disk", "confirmed"), ("id", "image_sha256"))


@command.command()
@dc_argument
@host_argument
def revoke(dc: str, host: str) -> None:
    """Take back the open grant of HOST: from now on it boots its disk. A ramdisk that runs already is cut off."""
    import time

    from bmk.boot import grants
    from bmk.datacenter.select import host_named
    from bmk.errors import PreflightRefused
    from bmk.phases.site import open_records

    loaded, journal = open_records(dc)
    host_named(loaded, host)
    if not grants.revoke(journal, host, time.time()):
        raise PreflightRefused(f"{host} has no open grant", hint=f"bmk grant list {dc}")
    say(f"revoked; {host} boots its disk")
