"""`bmk grant`: permissions to install."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from bmk.cli.options import complete_hosts, dc_argument, host_argument, output_option
from bmk.cli.output import emit, say

if TYPE_CHECKING:
    from bmk.boot.grants import Grant


@click.group(name="grant")
def command() -> None:
    """List or revoke permissions to install. A host without an open one always boots its disk."""


@command.command(name="list", short_help="List open permissions to install.")
@dc_argument
@click.argument("host", required=False, shell_complete=complete_hosts)
@click.option("--all", "everything", is_flag=True, help="Also those that ended.")
@output_option()
def list_(dc: str, host: str | None, everything: bool, output: str) -> None:
    """List open permissions to install, of HOST or of all."""
    from bmk.boot import grants
    from bmk.cli.records import open_records
    from bmk.datacenter.hosts import host_named

    loaded, journal = open_records(dc)
    if host is not None:
        host_named(loaded, host)
    now = time.time()
    known = grants.listed(journal, host) if journal is not None else []
    rows = [_row(g, now) for g in known if everything or g.open_at(now)]
    emit(rows, output, ("host", "state", "attempt", "opened", "ends", "disk", "confirmed"), ("id", "image_sha256"))
    if not rows and output in ("table", "wide"):
        say("no host may be installed now" + ("" if everything else f"; those of the past: bmk grant list {dc} --all"))


def _row(grant: Grant, now: float) -> dict[str, Any]:
    from bmk.journal.host_status import age

    state = "claimed" if grant.claimed else "open"
    if not grant.open_at(now):
        state = grant.outcome or "expired"
    left = f"in {age(2 * now - grant.expires, now)}" if grant.open_at(now) else f"{age(grant.ended or 0, now)} ago"
    return {
        "host": grant.host,
        "id": grant.id,
        "state": state,
        "attempt": grant.attempt,
        "opened": f"{age(grant.opened, now)} ago",
        "ends": left,
        "disk": _disk(grant),
        "confirmed": grant.confirmed,
        "image_sha256": grant.image_sha256,
    }


def _disk(grant: Grant) -> str:
    parts = [f"{key} {value}" for key, value in grant.disk.items() if value not in (None, False)]
    return ", ".join(parts) or "the only disk"


@command.command(short_help="Take back the permission to install HOST.")
@dc_argument
@host_argument
@click.option("--yes", "-y", is_flag=True, help="Do not ask before an installation is cut off.")
def revoke(dc: str, host: str, yes: bool) -> None:
    """Take back the open permission of HOST: from now on it boots its disk.

    An installation that is under way is cut off and leaves a disk that does not boot; that is asked first.
    """
    from bmk.boot import grants
    from bmk.cli.records import open_records
    from bmk.datacenter.hosts import host_named
    from bmk.errors import PreflightRefused

    loaded, journal = open_records(dc)
    host_named(loaded, host)
    grant = grants.current(journal, host, time.time()) if journal is not None else None
    if journal is None or grant is None:
        raise PreflightRefused(f"{host} has no open grant: it boots its disk", hint=f"bmk grant list {dc} {host} --all")
    if grant.claimed is not None and not yes:
        _agree(dc, host)
    grants.revoke(journal, host, time.time())
    say(f"revoked; {host} boots its disk; to install it after all: bmk provision {dc}")


def _agree(dc: str, host: str) -> None:
    from bmk.errors import Declined

    what = f"{host} is being installed: its disk would be left half written"
    if not sys.stdin.isatty():
        raise Declined(what, why="no --yes, and no terminal to ask on", hint=f"bmk grant revoke {dc} {host} --yes")
    if not click.confirm(f"{what}. Revoke?", default=False, err=True):
        raise Declined("nothing was changed")
