"""`bmk provision`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bmk.cli.options import complete_hosts, dc_argument, limit_option, yes_option
from bmk.cli.output import say


@click.command(name="provision", epilog="Example: bmk provision par --limit r2 --plan r2.plan")
@dc_argument
@limit_option
@yes_option
@click.option(
    "--confirm",
    multiple=True,
    metavar="HOST",
    shell_complete=complete_hosts,
    help="Give up the foreign data on HOST's disk; several times.",
)
@click.option(
    "--plan",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Do exactly what this plan of bmk plan --out says, or nothing.",
)
@click.option("--events", metavar="FILE|-", help="Write events as JSON lines to a file, or to stdout.")
def command(dc: str, limit: tuple[str, ...], **wish: Any) -> int:
    """Turn the powered-off machines of DC into Ready clusters.

    Can be killed at any time: the same command does what is left. A lab is brought up first.
    """
    from bmk.actions.provision import PROVISION
    from bmk.cli.running import RunRequest, leave, run_action
    from bmk.engine.lock import RunLock
    from bmk.live.workspace import open_and_start

    workspace = open_and_start(dc, say)
    request = RunRequest(f"bmk provision {workspace.dc.name}", **wish)
    try:
        with RunLock(workspace.journal, workspace.run_id) as lock:
            return run_action(workspace, PROVISION, workspace.select(limit), request, lock)
    except KeyboardInterrupt:
        leave()
