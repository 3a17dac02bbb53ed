"""`bmk remove`: hosts out of their cluster for good."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

import click

from bmk.cli.options import complete_hosts, dc_argument, yes_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bmk.journal.records import RetiredRecord
    from bmk.live.workspace import Look

_LONGEST = 200  # characters of a reason


@click.command(name="remove", epilog="Example: bmk remove par worker-3 --plan")
@dc_argument
@click.argument("hosts", metavar="HOST...", nargs=-1, required=True, shell_complete=complete_hosts)
@click.option("--reason", metavar="TEXT", default="", help="Why; shown by bmk status.")
@click.option("--plan", "only_plan", is_flag=True, help="Only show what would be done. Exit code 2: something.")
@yes_option
def command(dc: str, hosts: tuple[str, ...], reason: str, only_plan: bool, yes: bool) -> int:
    """Take each HOST out of its cluster for good, alive or dead, and switch it off.

    Its machine is identified, its pods are drained as disruption budgets allow, its member of etcd and its node are
    removed; of control planes one at a time, and etcd keeps its quorum. When it answers ssh, what runs there is ended
    and credentials and the data of etcd are removed. No disk is wiped. Provision leaves it alone from then on: take it
    out of dc.yml, or have it back by bmk reinstall. Can be killed at any time: the same command does what is left.
    """
    from bmk.actions.remove import REMOVE, order_removal, removal_of, withdraw_removal
    from bmk.cli.running import RunRequest, leave, run_action, show_plan
    from bmk.engine.lock import RunLock, this_person
    from bmk.errors import ConfigError, Declined, PreflightRefused
    from bmk.journal.quoted import plain
    from bmk.journal.records import RetiredRecord
    from bmk.live.workspace import open_workspace

    workspace = open_workspace(dc)
    chosen = workspace.select((), hosts)
    wish = RetiredRecord(at=time.time(), by=this_person(), reason=plain(reason, _LONGEST))
    if only_plan:
        wanted = removal_of(workspace.dc, workspace.journal, chosen, wish)
        return show_plan(workspace, REMOVE, chosen, _as_if(wanted))
    away = {"max_unavailable": len(chosen), "max_unavailable_rack": None, "stop_after": len(chosen) + 1}
    again = " ".join(["bmk remove", dc, *hosts, *(["--reason", shlex.quote(reason)] if reason else [])])
    request = RunRequest(again, yes, (), rollout={**away, "pause_after": None})
    try:
        with RunLock(workspace.journal, workspace.run_id) as lock:
            wanted = removal_of(workspace.dc, workspace.journal, chosen, wish)
            new = order_removal(workspace.journal, wanted)
            try:
                return run_action(workspace, REMOVE, chosen, request, lock)
            except (Declined, PreflightRefused, ConfigError):  # nothing has begun
                withdraw_removal(workspace.journal, new)
                raise
    except KeyboardInterrupt:
        leave()


def _as_if(wanted: Mapping[str, RetiredRecord]) -> Look:
    """What would be seen with these on record."""
    from dataclasses import replace

    from bmk.plan.actual import Observation

    def look(seen: Observation) -> Observation:
        return replace(seen, hosts={name: replace(a, retired=wanted[name]) for name, a in seen.hosts.items()})

    return look
