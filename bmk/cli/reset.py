"""`bmk reset`: a cluster ends; its machines stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bmk.cli.options import complete_clusters, dc_argument
from bmk.cli.output import say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bmk.journal.records import ResetOrder
    from bmk.live.workspace import Look, Workspace


@click.command(name="reset", epilog="Example: bmk reset par par-prod --plan")
@dc_argument
@click.argument("cluster", metavar="CLUSTER", shell_complete=complete_clusters)
@click.option(
    "--confirm", metavar="CLUSTER", help="Its name once more; without it, it has to be typed on the terminal."
)
@click.option("--plan", "only_plan", is_flag=True, help="Only show what would be done. Exit code 2: something.")
def command(dc: str, cluster: str, confirm: str | None, only_plan: bool) -> int:
    """End CLUSTER: all that runs in it and all data of its etcd is gone.

    On each host what runs is ended, and kubeadm's data, credentials and the data of etcd are removed. Machines stay
    installed and on, no disk is wiped, and backups stay. Provision makes the cluster anew, when all hosts are done.
    Can be killed at any time: the same command does what is left.
    """
    from bmk.actions.reset import RESET, order_reset, reset_of, withdraw_reset
    from bmk.cli.running import RunRequest, leave, run_action, show_plan
    from bmk.engine.lock import RunLock, this_person
    from bmk.errors import ConfigError, Declined, Exit, PreflightRefused
    from bmk.live.workspace import open_workspace

    workspace = open_workspace(dc)
    _named(workspace, cluster, confirm)
    if only_plan:
        wanted = reset_of(workspace.dc, workspace.journal, cluster, this_person())
        return show_plan(workspace, RESET, workspace.select((), tuple(wanted)), _as_if(wanted)) if wanted else Exit.OK
    request = RunRequest(f"bmk reset {dc} {cluster}", confirm == cluster, (), name=cluster)
    try:
        with RunLock(workspace.journal, workspace.run_id) as lock:
            wanted = reset_of(workspace.dc, workspace.journal, cluster, this_person())
            if not wanted:
                say(f"nothing to reset: no host is a member of cluster {cluster}")
                return Exit.OK
            new = order_reset(workspace.journal, wanted)
            try:
                return run_action(workspace, RESET, workspace.select((), tuple(wanted)), request, lock)
            except (Declined, PreflightRefused, ConfigError):  # nothing has begun
                withdraw_reset(workspace.journal, new)
                raise
    except KeyboardInterrupt:
        leave()


def _named(workspace: Workspace, cluster: str, confirm: str | None) -> None:
    """Raises ConfigError for a cluster that is not in the file, Declined when another one was confirmed."""
    from bmk.datacenter.problems import did_you_mean
    from bmk.errors import ConfigError, Declined

    dc = workspace.dc
    if cluster not in dc.spec.clusters:
        what = f"there is no cluster {cluster!r} in {dc.name}"
        raise ConfigError(what, where=str(dc.source), hint=did_you_mean(cluster, dc.spec.clusters))
    if confirm is not None and confirm != cluster:
        raise Declined(f"--confirm names {confirm}, not {cluster}: nothing was changed")


def _as_if(wanted: Mapping[str, ResetOrder]) -> Look:
    """What would be seen with these on record."""
    from dataclasses import replace

    from bmk.plan.actual import Observation

    def look(seen: Observation) -> Observation:
        return replace(seen, hosts={name: replace(a, reset=wanted[name]) for name, a in seen.hosts.items()})

    return look
