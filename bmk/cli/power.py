"""`bmk power`: hands on machines' power, through their BMCs."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import click

from bmk.cli.options import dc_argument, hosts_argument, output_option
from bmk.cli.output import emit

if TYPE_CHECKING:
    from bmk.datacenter.resolve import Host
    from bmk.phases.site import Site


@click.command(name="power")
@click.argument("action", type=click.Choice(["on", "off", "cycle", "status"]))
@dc_argument
@hosts_argument
@click.option("--yes", "-y", is_flag=True, help="Do not ask before off and cycle.")
@output_option()
def command(action: str, dc: str, hosts: tuple[str, ...], yes: bool, output: str) -> int:
    """Switch HOSTs on, off, or both; `status` asks (all hosts when none is named).

    Before anything is switched, the BMC must belong to the machine that the file describes.
    """
    from bmk.errors import Exit
    from bmk.phases.site import open_site

    if action != "status" and not hosts:
        raise click.UsageError(f"name the hosts to switch {action}")
    site = open_site(dc)
    wanted = site.select((), hosts)
    _agree(action, yes, dc, hosts)
    with ThreadPoolExecutor(32) as pool:
        rows = list(pool.map(lambda host: _one(site, host, action), wanted))
    emit(rows, output, ("host", "power", "problem"), ("bmc",))
    return Exit.UNREACHABLE if any(row["problem"] for row in rows) else Exit.OK


def _agree(action: str, yes: bool, dc: str, hosts: tuple[str, ...]) -> None:
    from bmk.errors import Declined

    if yes or action in ("on", "status"):
        return
    names = " ".join(hosts)
    if not sys.stdin.isatty():
        raise Declined("there is no terminal to ask on, and no --yes", hint=f"bmk power {action} {dc} {names} --yes")
    if not click.confirm(f"power {action} {names}: what runs there is interrupted. Do it?", default=False, err=True):
        raise Declined("nothing was changed")


def _one(site: Site, host: Host, action: str) -> dict[str, Any]:
    """Do it to one host; what goes wrong is a cell of its row."""
    from bmk.errors import BmkError
    from bmk.phases.identity import mismatches

    row: dict[str, Any] = {"host": host.name, "bmc": str(host.bmc_address), "power": None, "problem": ""}
    try:
        bmc = site.world.bmc(host)
        wrong = mismatches(host, bmc.identity()) if action != "status" else []
        if wrong:
            return {**row, "problem": "; ".join(wrong)}
        if action in ("on", "off", "cycle"):
            bmc.set_power(action)  # type: ignore[arg-type] # one of the three, as mypy cannot see
        return {**row, "power": bmc.power()}
    except BmkError as error:
        return {**row, "problem": error.what}
