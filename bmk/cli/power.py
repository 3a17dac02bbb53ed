"""`bmk power`: switch machines on and off through their BMCs, or show their power state."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import click

from bmk.cli.options import dc_argument, hosts_argument, limit_option, output_option
from bmk.cli.output import emit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bmk.datacenter.resolve import Host
    from bmk.journal import Journal
    from bmk.live.workspace import Workspace

_HARMLESS = ("on", "status")  # interrupts nothing
_SIDE_BY_SIDE = 32  # BMCs asked at once
_PATIENCE = 30.0  # seconds for a BMC that does not answer: a person waits for it, and can repeat the command


@click.command(name="power", epilog="Example: bmk power status lab --limit worker")
@click.argument("action", type=click.Choice(["on", "off", "cycle", "shutdown", "restart", "status"]))
@dc_argument
@hosts_argument
@limit_option
@click.option("--yes", "-y", is_flag=True, help="Do not ask before interrupting what runs on a host.")
@output_option()
def command(action: str, dc: str, yes: bool, output: str, **which: tuple[str, ...]) -> None:
    """Switch machines on or off, cycle them, or show their power state (of all hosts of DC when none is named).

    off and cycle cut the power. shutdown and restart ask the operating system to shut down first, and cut the power
    when it has not after five minutes: bmk events says so. Each change is read back. Nothing is switched when the BMC
    belongs to another machine than the file says. Asks before it interrupts hosts that are in a cluster or being
    installed. Exit code 4: some failed; 5: all did.
    """
    from bmk.datacenter.hosts import select_hosts
    from bmk.datacenter.load import load_datacenter
    from bmk.live.workspace import enter

    hosts, limit = which["hosts"], which["limit"]
    if action != "status" and not (hosts or limit):
        raise click.UsageError(f"name the hosts to switch {action}, or a --limit")
    loaded = load_datacenter(dc)
    wanted = select_hosts(
        loaded, hosts, limit
    )  # before the lab is looked for, so that a wrong name is reported as that
    workspace = enter(loaded)
    if action not in _HARMLESS and not yes:
        _agree(workspace.journal, action, dc, wanted)
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        rows = list(pool.map(lambda host: _one(workspace, host, action), wanted))
    emit(rows, output, ("host", "power", "problem"), ("bmc", "next"))
    _end(rows, action, dc)


def _agree(journal: Journal, action: str, dc: str, hosts: Sequence[Host]) -> None:
    """Raises Declined when hosts would be interrupted and nobody agreed to it."""
    from bmk.errors import Declined

    busy = occupied(journal, [h.name for h in hosts])
    if not busy:
        return
    names = " ".join(h.name for h in hosts)
    why = "; ".join(f"{name} {what}" for name, what in busy.items())
    if not sys.stdin.isatty():
        raise Declined("no --yes, and no terminal to ask on", why=why, hint=f"bmk power {action} {dc} {names} --yes")
    if not click.confirm(f"{why}\npower {action} {names}?", default=False, err=True):
        raise Declined("nothing was changed", why=why)


def occupied(journal: Journal, hosts: Sequence[str]) -> Mapping[str, str]:
    """What would be interrupted, by host; hosts with nothing to lose are left out."""
    import time

    from bmk.boot import grants
    from bmk.journal.records import MembershipRecord

    joined, busy = MembershipRecord.load_all(journal), {}
    for name in hosts:
        grant = grants.current(journal, name, time.time())
        if grant is not None and grant.claimed is not None:
            busy[name] = "is being installed"
        elif name in joined:
            busy[name] = f"is a node of cluster {joined[name].cluster}"
    return busy


def _one(workspace: Workspace, host: Host, action: str) -> dict[str, Any]:
    """Carry out the action on one host; an error is the `problem` of its row."""
    from bmk.bmc import Timeouts, conversation
    from bmk.errors import BmkError
    from bmk.phases.identity import mismatches

    row: dict[str, Any] = {
        "host": host.name,
        "bmc": str(host.bmc_address),
        "power": None,
        "problem": None,
        "next": None,
    }
    try:
        with conversation(workspace.services.bmc(host, Timeouts(connect=5, patience=_PATIENCE))) as bmc:
            wrong = mismatches(host, bmc.identity()) if action != "status" else []
            if wrong:
                return {
                    **row,
                    "problem": f"another machine: {'; '.join(wrong)}",
                    "next": f"correct {workspace.dc.source}",
                }
            if action != "status":
                bmc.set_power(action)  # type: ignore[arg-type] # one of the choices, as mypy cannot see
            return {**row, "power": bmc.power()}
    except BmkError as error:
        problem = error.what + (f" ({error.why})" if error.why else "")
        return {**row, "problem": problem, "next": error.hint or None}


def _end(rows: Sequence[Mapping[str, Any]], action: str, dc: str) -> None:
    """Raises for hosts that failed: exit code 4 for some of them, 5 for all."""
    from bmk.errors import SomeHostsFailed, Unreachable
    from bmk.hostlist import compact

    bad = [row for row in rows if row["problem"]]
    if not bad:
        return
    kind = Unreachable if len(bad) == len(rows) else SomeHostsFailed
    hints = dict.fromkeys(row["next"] for row in bad if row["next"])
    raise kind(
        f"power {action} failed for {compact(row['host'] for row in bad)}",
        hint="; ".join(hints) or f"bmk why {dc} {bad[0]['host']}",
    )
