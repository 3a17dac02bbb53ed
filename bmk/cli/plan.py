"""`bmk plan`: what provision would change."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from bmk.cli.options import dc_argument, limit_option, output_option
from bmk.cli.output import dump, say


@click.command(name="plan", epilog="Example: bmk plan par --limit r2 --out r2.plan")
@dc_argument
@limit_option
@output_option("table", "json", "yaml")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Also write it, for bmk provision --plan FILE."
)
@click.option("--verbose", "-v", is_flag=True, help="Each host by itself, however many they are.")
def command(dc: str, limit: tuple[str, ...], output: str, out: Path | None, verbose: bool) -> int:
    """Show what provision would change, and why. Exit code 0: nothing; 2: something would change.

    More than ten hosts are grouped by what would change; --verbose and -o json show each by itself. Exit code 6: a
    cluster that exists cannot become what the file says; the others are shown.
    """
    from bmk.actions.provision import PROVISION
    from bmk.artifacts.other_lock import other_lock
    from bmk.boot.tpm.accepted import waiting
    from bmk.datacenter.hosts import unproven
    from bmk.datacenter.routing import egress_lines
    from bmk.datacenter.source import lock_path
    from bmk.errors import Exit
    from bmk.live.cluster_guard import refusal
    from bmk.live.workspace import open_workspace
    from bmk.plan.files import save_plan
    from bmk.plan.show import lines

    workspace = open_workspace(dc)
    hosts, refused = workspace.allowed(workspace.select(limit))
    plan, _ = workspace.plan(hosts, PROVISION)
    for line in other_lock(lock_path(workspace.dc.source, workspace.dc.spec.artifacts)):
        say(line)
    people = waiting(workspace.journal, hosts, dc)
    if people:
        say(people)
    if output == "table":
        notes = egress_lines(workspace.dc, [h.host for h in plan.pending])
        click.echo("\n".join(lines(plan, workspace.dc.hosts, unproven(hosts), notes, verbose=verbose)))
    else:
        dump(plan.as_dict() | {"refused": [asdict(one) for one in refused]}, output)
    if out is not None:
        save_plan(plan, out)
        say(f"written to {out}; next: bmk provision {dc} --plan {out}")
    if refused:
        raise refusal(workspace.dc, refused)
    return Exit.OK if plan.empty else Exit.PENDING
