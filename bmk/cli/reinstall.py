"""`bmk reinstall`: have hosts installed anew."""

from __future__ import annotations

import click

from bmk.cli.options import dc_argument, hosts_argument, limit_option
from bmk.cli.output import say


@click.command(name="reinstall", epilog="Example: bmk reinstall par worker-3")
@dc_argument
@hosts_argument
@limit_option
@click.option("--cancel", is_flag=True, help="Take the order back, as long as no installation began.")
def command(dc: str, hosts: tuple[str, ...], limit: tuple[str, ...], cancel: bool) -> None:
    """Have the next `bmk provision` install HOST anew: its disk is wiped, and its record begins anew.

    Nothing happens before that, and then only with --confirm HOST. Drain a node first. A control plane is installed
    anew with its whole cluster only, which is a new cluster then.
    """
    from bmk.actions import reinstall
    from bmk.datacenter.hosts import select_hosts
    from bmk.datacenter.load import load_datacenter
    from bmk.datacenter.state import claim, open_journal
    from bmk.engine.lock import RunLock
    from bmk.engine.session import new_run_id

    if not (hosts or limit):
        raise click.UsageError("name the hosts to install anew, or a --limit")
    loaded = load_datacenter(dc)
    wanted = select_hosts(loaded, hosts, limit)
    claim(loaded)
    with RunLock(journal := open_journal(loaded), new_run_id()):
        if cancel:
            names = reinstall.withdraw_order(journal, wanted)
            say(f"not to be installed anew: {', '.join(names) or 'none of these was'}")
            return
        reinstall.order_reinstall(loaded, journal, wanted)
    confirms = " ".join(f"--confirm {host.name}" for host in wanted)
    say(f"to be installed anew: {', '.join(host.name for host in wanted)}\n  next: bmk provision {dc} {confirms}")
