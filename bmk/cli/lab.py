"""`bmk lab`: a virtual data center of real parts, in namespaces of its own."""

from __future__ import annotations

import sys

import click

from bmk.cli.options import AmountRange, dc_argument, host_argument, hosts_argument, output_option
from bmk.cli.output import emit, say
from bmk.terminal import console_text


@click.group(name="lab")
def command() -> None:
    """Run a virtual data center."""


@command.command(short_help="Start the lab, all machines off.")
@dc_argument
def up(dc: str) -> None:
    """Start the lab of DC: network, boot server, BMCs and machines (all powered off). Nothing on this host changes."""
    from bmk.datacenter.load import load_datacenter
    from bmk.lab.lifecycle import bring_up

    bring_up(load_datacenter(dc), dc, say)


@command.command(short_help="Stop the lab; disks stay.")
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
    emit(
        rows,
        output,
        ("name", "kind", "power", "boot", "bmc", "faults"),
        ("firmware", "serial", "macs", "disks", "console"),
    )


@command.command(short_help="Sit at the serial console of a machine.")
@dc_argument
@host_argument
def console(dc: str, host: str) -> None:
    """Sit at the serial console of HOST (leave with Ctrl-]); without a terminal, print what it has said so far."""
    from bmk.datacenter.load import load_datacenter
    from bmk.lab.lifecycle import machine_dir
    from bmk.lab.machines.console import attach

    directory = machine_dir(load_datacenter(dc).name, host)
    log = directory / "console.log"
    text = log.read_bytes() if log.exists() else b""
    if not sys.stdin.isatty():
        sys.stdout.write(console_text(text))
        return
    sys.stdout.write(console_text(text[-4000:]))
    say(f"\n--- console of {host}; leave with Ctrl-] ---")
    attach(directory)


def _fault_names() -> list[str]:
    from bmk.lab.faults import FAULTS

    return list(FAULTS)


@command.command(name="break", short_help="Inject a fault.")
@dc_argument
@click.argument("fault", shell_complete=lambda *_: _fault_names())
@hosts_argument
@click.option("--seconds", type=AmountRange(0), help="Heal by itself after this time.")
def break_(dc: str, fault: str, hosts: tuple[str, ...], seconds: float | None) -> None:
    """Break something: inject FAULT into HOSTs. `bmk lab faults` lists them."""
    from bmk.datacenter.load import load_datacenter
    from bmk.lab.client import request

    name = load_datacenter(dc).name
    for host in hosts or (None,):
        request(name, "fault", fault=fault, machine=host, on=True, seconds=seconds)
        say(f"{host or name}: {fault}" + (f" for {seconds:g} s" if seconds else ""))


@command.command(short_help="End faults.")
@dc_argument
@click.argument("fault", required=False, shell_complete=lambda *_: _fault_names())
@hosts_argument
def heal(dc: str, fault: str | None, hosts: tuple[str, ...]) -> None:
    """Heal FAULT of HOSTs; without HOST everywhere, without FAULT everything."""
    from bmk.datacenter.load import load_datacenter
    from bmk.lab.lifecycle import heal_all

    for text in heal_all(load_datacenter(dc).name, fault, hosts):
        say(f"healed {text}")


@command.command()
@output_option("table", "json", "name")
def faults(output: str) -> None:
    """List the faults that can be injected."""
    from bmk.lab.faults import FAULTS

    emit([{"fault": name, "meaning": f.text} for name, f in FAULTS.items()], output, ("fault", "meaning"))


@command.command(short_help="Install containers without PXE, for tests.")
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
