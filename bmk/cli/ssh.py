"""`bmk ssh`: a shell on a host, with the key that was pinned at its installation."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from bmk.cli.options import dc_argument, host_argument

if TYPE_CHECKING:
    from pathlib import Path

    from bmk.datacenter.resolve import DataCenter, Host


# What comes after HOST belongs to the command there, also when it begins with a dash.
@click.command(
    name="ssh",
    epilog="Example: bmk ssh lab cp-1 journalctl -u kubelet",
    context_settings={"allow_interspersed_args": False},
)
@dc_argument
@host_argument
@click.argument("arguments", nargs=-1, metavar="[COMMAND]...", type=click.UNPROCESSED)
def command(dc: str, host: str, arguments: tuple[str, ...]) -> None:
    """Open a shell on HOST as root, or run COMMAND there and end with its exit code.

    Logs in with the deployer's key. Only the host key that was pinned when HOST was installed is accepted.
    """
    from bmk.datacenter.hosts import host_named
    from bmk.datacenter.load import load_datacenter
    from bmk.lab.host.netns import ensure_inside

    loaded = load_datacenter(dc)
    chosen = host_named(loaded, host)
    known_hosts = _pinned(loaded, host, dc)
    ensure_inside(loaded)
    os.execvp("ssh", ssh_command(loaded, chosen, known_hosts, arguments))  # noqa: S606 - from here on this is ssh


def _pinned(dc: DataCenter, host: str, typed: str) -> Path:
    from bmk.datacenter.state import existing_journal, require_own
    from bmk.errors import PreflightRefused
    from bmk.live.known_hosts import write_known_hosts

    require_own(dc)
    journal = existing_journal(dc)
    if journal is None or not journal.facts(host).get("host_keys"):
        raise PreflightRefused(f"{host} has no pinned key: it was not installed yet", hint=f"bmk status {typed}")
    return write_known_hosts(dc, journal)


def ssh_command(dc: DataCenter, host: Host, known_hosts: Path, arguments: tuple[str, ...]) -> list[str]:
    """OpenSSH with our key and our pins only."""
    from bmk.datacenter.credentials import ssh_flags

    key = dc.state / "ssh" / "id_ed25519"
    return [
        "ssh",
        *ssh_flags(known_hosts),
        "-o",
        "LogLevel=ERROR",
        "-i",
        str(key),
        "-l",
        "root",
        str(host.address),
        *arguments,
    ]
