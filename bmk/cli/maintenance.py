"""`bmk maintenance`: hosts out of service for a while, and back."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING, Any

import click

from bmk.cli.options import complete_hosts, dc_argument, yes_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bmk.cli.running import RunRequest
    from bmk.datacenter.resolve import Host
    from bmk.engine.lock import RunLock
    from bmk.journal.records import MaintenanceRecord
    from bmk.live.workspace import Workspace

_LONGEST = 200  # characters of a reason


@click.command(name="maintenance", epilog="Example: bmk maintenance par worker-3 worker-4 on --reason fans")
@dc_argument
@click.argument("hosts", metavar="HOST...", nargs=-1, required=True, shell_complete=complete_hosts)
@click.argument("switch", metavar="on|off", type=click.Choice(["on", "off"]))
@click.option("--reason", metavar="TEXT", default="", help="Why; needed to begin, shown by bmk status.")
@click.option("--cut", is_flag=True, help="Cut the power of a machine that does not shut down in five minutes.")
@click.option("--plan", "only_plan", is_flag=True, help="Only show what would be done. Exit code 2: something.")
@yes_option
def command(dc: str, hosts: tuple[str, ...], switch: str, reason: str, **wish: Any) -> int:
    """Take each HOST out of service for a while, or bring it back.

    on: its machine is identified, its node cordoned and drained as disruption budgets allow, and its system shut down.
    Until off, provision and the other verbs leave it alone, and drift and verify say so. Of a cluster one control plane
    may be away, and only while etcd keeps its quorum. off: it is switched on, boots from its disk, and takes pods again
    when its node is Ready. Can be killed at any time: the same command does what is left.
    """
    from bmk.actions.maintenance import END
    from bmk.cli.running import RunRequest, leave, run_action
    from bmk.engine.lock import RunLock
    from bmk.live.workspace import open_workspace

    workspace = open_workspace(dc)
    chosen = workspace.select((), hosts)
    cut, yes, only_plan = wish["cut"], wish["yes"], wish["only_plan"]
    more = [*(["--reason", shlex.quote(reason)] if reason else []), *(["--cut"] if cut else [])]
    again = " ".join(["bmk maintenance", dc, *hosts, switch, *more])
    away = {"max_unavailable": len(chosen), "max_unavailable_rack": None, "stop_after": len(chosen) + 1}
    request = RunRequest(again, yes, (), rollout={**away, "pause_after": None})
    if only_plan:
        return _preview(workspace, chosen, switch, _record(reason, cut=cut))
    try:
        with RunLock(workspace.journal, workspace.run_id) as lock:
            if switch == "off":
                return run_action(workspace, END, chosen, request, lock)
            return _begin(workspace, chosen, request, _record(reason, cut=cut), lock)
    except KeyboardInterrupt:
        leave()


def _record(reason: str, *, cut: bool) -> MaintenanceRecord:
    from bmk.engine.lock import this_person
    from bmk.journal.quoted import plain
    from bmk.journal.records import MaintenanceRecord

    return MaintenanceRecord(at=time.time(), by=this_person(), reason=plain(reason, _LONGEST), cut=cut)


def _preview(workspace: Workspace, hosts: Sequence[Host], switch: str, wish: MaintenanceRecord) -> int:
    """Nothing is written down."""
    from dataclasses import replace

    from bmk.actions.maintenance import BEGIN, END, maintenance_of
    from bmk.cli.running import show_plan
    from bmk.plan.actual import Observation

    if switch == "off":
        return show_plan(workspace, END, hosts)
    wanted = maintenance_of(workspace.dc, workspace.journal, hosts, wish)

    def look(seen: Observation) -> Observation:
        return replace(seen, hosts={n: replace(a, maintenance=wanted[n]) for n, a in seen.hosts.items()})

    return show_plan(workspace, BEGIN, hosts, look)


def _begin(
    workspace: Workspace, hosts: Sequence[Host], request: RunRequest, wish: MaintenanceRecord, lock: RunLock
) -> int:
    from bmk.actions.maintenance import BEGIN, maintenance_of, order_maintenance, withdraw_maintenance
    from bmk.cli.running import run_action
    from bmk.errors import ConfigError, Declined, PreflightRefused

    wanted = maintenance_of(workspace.dc, workspace.journal, hosts, wish)
    if not all(record.reason for record in wanted.values()):
        raise click.UsageError('say why, for whoever finds the host off: --reason "new power supply"')
    new = order_maintenance(workspace.journal, wanted)
    try:
        return run_action(workspace, BEGIN, hosts, request, lock)
    except (Declined, PreflightRefused, ConfigError):  # nothing has begun
        withdraw_maintenance(workspace.journal, new)
        raise
