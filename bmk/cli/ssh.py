"""`bmk ssh`: a shell on a host, with the key that was pinned at its installation."""

from __future__ import annotations

import os

import click

from bmk.cli.options import dc_argument, host_argument


@click.command(name="ssh", context_settings={"ignore_unknown_options": True})
@dc_argument
@host_argument
@click.argument("arguments", nargs=-1, metavar="[COMMAND]...")
def command(dc: str, host: str, arguments: tuple[str, ...]) -> None:
    """Open a shell on HOST as root, or run COMMAND there. Only the pinned host key is accepted."""
    from bmk.datacenter.select import host_named
    from bmk.errors import PreflightRefused
    from bmk.paths import state_dir
    from bmk.phases.site import open_site
    from bmk.phases.world import write_known_hosts

    site = open_site(dc)
    chosen = host_named(site.dc, host)
    target = site.world.target(chosen)
    if not target.host_keys:
        raise PreflightRefused(f"{host} has no pinned key: bmk has not installed it", hint=f"bmk status {dc}")
    write_known_hosts(site.dc, site.journal)
    pinned = ["-o", f"UserKnownHostsFile={state_dir(site.dc.name) / 'known_hosts'}", "-o", "StrictHostKeyChecking=yes"]
    login = ["-i", str(target.identity), "-o", "IdentitiesOnly=yes", f"root@{target.address}"]
    os.execvp("ssh", ["ssh", *pinned, *login, *arguments])  # noqa: S606 - a list, no shell
