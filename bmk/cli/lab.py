"""`bmk lab`: a virtual data center of real parts, in namespaces of its own."""

from __future__ import annotations

import click

from bmk.cli.options import dc_argument, hosts_argument, output_option
from bmk.cli.output import emit, say


@click.group(name="lab")
def command() -> None:
    """Run a virtual data center."""


@command.command()
@dc_argument
def up(dc: str) -> None:
    """Start the lab of DC: network, boot server, BMCs and machines (all powered off). Nothing on this host changes."""
    from bmk.datacenter.load import load_datacenter
    from bmk.lab.lifecycle import bring_up

    bring_up(load_datacenter(dc), dc, say)


@command.command()
@dc_argument
@click.option("--delete", is_flag=True, help="Also delete the machines: their disks, and what is known about them.")
def down(dc: str, delete: bool) -> None:
    """Stop the lab of DC. Disks stay, as in a rack without power, unless --delete is given."""
    from bmk.datacenter.load import load_datacenter
    from bmk.lab.lifecycle import take_down

    take_down(load_datacenter(dc), say, delete=delete)


@command.command()
@dc_argument
@output_option()
def status(dc: str, output: str) -> None:
    """Show the machines of the lab of DC."""
    from bmk.datacenter.load import load_datacenter
    from bmk.lab.lifecycle import machine_rows

    rows = machine_rows(load_datacenter(dc).name)
    emit(rows, output, ("name", "kind", "power", "boot", "bmc", "faults"), ("firmware", "serial", "macs", "disks", "console"))


@command.command()
@dc_argument
@hosts_argument
def preseed(dc: str, hosts: tuple[str, ...]) -> None:
    """Install system containers beforehand and switch them on: no PXE, no installer; for tests of what comes after."""
    from bmk.datacenter.load import load_datacenter
    from bmk.lab.client import request
    from bmk.lab.lifecycle import machine_rows

    name = load_datacenter(dc).name
    for host in hosts or [m["name"] for m in machine_rows(name) if m["kind"] == "container"]:
        request(name, "preseed", machine=host)
        request(name, "power", machine=host, action="on")
        say(f"{host} is installed and on")
