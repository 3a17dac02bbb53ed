"""`bmk reinstall`: installed hosts from drain to Ready, installed anew."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import click

from bmk.cli.options import AmountRange, complete_hosts, dc_argument, hosts_argument, limit_option, yes_option
from bmk.cli.output import say


@click.command(name="reinstall", epilog="Example: bmk reinstall par worker-3 worker-4 --max-unavailable 2")
@dc_argument
@hosts_argument
@limit_option
@yes_option
@click.option(
    "--confirm",
    multiple=True,
    metavar="HOST",
    shell_complete=complete_hosts,
    help="Give up what is on HOST's disk, of those that only --limit selects; several times.",
)
@click.option("--max-unavailable", type=click.IntRange(1), help="Members of a cluster that may be away at a time.")
@click.option("--max-unavailable-rack", type=click.IntRange(1), help="The same, of a rack.")
@click.option("--stop-after", type=click.IntRange(1), help="Failures; then none begins.")
@click.option("--pause-after", type=click.IntRange(1), help="Hosts; then it ends, and the same command goes on.")
@click.option("--soak", type=AmountRange(0), help="Seconds to serve before the next one begins.")
@click.option("--cancel", is_flag=True, help="Take the order back, as long as it did not leave its cluster.")
def command(dc: str, hosts: tuple[str, ...], limit: tuple[str, ...], cancel: bool, **wish: Any) -> int:
    """Take each HOST out of its cluster, wipe and install it, and bring it back.

    Its pods are drained, as their disruption budgets allow; of control planes one is away at a time, and etcd keeps its
    quorum. How far it goes at a time, rollout of dc.yml says, which options count more than; without both one host is
    away at a time, and a failure stops it. Can be killed at any time: the same command does what is left.
    """
    from bmk.actions.reinstall import REINSTALL, order_reinstall, withdraw_order
    from bmk.cli.running import RunRequest, leave, run_action
    from bmk.engine.lock import RunLock
    from bmk.errors import ConfigError, Declined, Exit, PreflightRefused
    from bmk.live.workspace import open_workspace

    if not (hosts or limit):
        raise click.UsageError("name the hosts to install anew, or a --limit")
    workspace = open_workspace(dc)
    wanted = workspace.select(limit, hosts)
    yes, confirm = wish.pop("yes"), wish.pop("confirm")
    selection = " ".join([*hosts, *(f"--limit {one}" for one in limit)])
    asked = {field: value for field, value in wish.items() if value is not None}
    request = RunRequest(f"bmk reinstall {dc} {selection}", yes, (*confirm, *hosts), rollout=asked)
    try:
        with RunLock(workspace.journal, workspace.run_id) as lock:
            if cancel:
                names = withdraw_order(workspace.journal, wanted)
                say(f"not to be installed anew: {', '.join(names) or 'none of these was'}")
                return Exit.OK
            before = order_reinstall(workspace.dc, workspace.journal, wanted)
            if before:
                say(f"goes on with: {', '.join(before)}")
            try:
                return run_action(workspace, REINSTALL, wanted, request, lock)
            except (Declined, PreflightRefused, ConfigError):  # nothing has begun
                with suppress(PreflightRefused):  # what left its cluster before has to be installed in any case
                    withdraw_order(workspace.journal, [h for h in wanted if h.name not in before])
                raise
    except KeyboardInterrupt:
        leave()
