"""`bmk drift`: what is no longer as the file and the last converge left it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bmk.cli.options import AmountRange, dc_argument, limit_option, output_option
from bmk.cli.output import dump, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bmk.drift.model import DriftStatus
    from bmk.live.bmc_facts import Connect
    from bmk.live.workspace import Workspace

_SEVERITIES = ("benign", "degraded", "security", "breaking")
_FORMATS = ("table", "wide", "json", "yaml", "junit", "html", "prom")


@click.command(name="drift", epilog="Example: bmk drift par --limit r2 --only security -o wide")
@dc_argument
@limit_option
@click.option("--only", multiple=True, type=click.Choice(_SEVERITIES), help="Only this class; several times.")
@click.option("--since", metavar="TIME", default="", help="Only what was not there before: 90s, 15m, 24h, 7d.")
@click.option("--bmc/--no-bmc", default=True, show_default=True, help="Ask BMCs too: identity, power, next boot.")
@click.option("--deadline", type=AmountRange(1), default=120.0, show_default=True, help="Seconds for one host.")
@click.option("--parallel", default=64, show_default=True, help="Hosts at once.")
@click.option(
    "--write",
    type=click.Path(file_okay=False, path_type=Path),
    help="Also leave drift.json, drift.prom and index.html in this directory.",
)
@output_option(*_FORMATS)
def command(  # noqa: PLR0913, PLR0917 - one for each option
    dc: str,
    limit: tuple[str, ...],
    only: tuple[str, ...],
    since: str,
    bmc: bool,
    deadline: float,
    parallel: int,
    write: Path | None,
    output: str,
) -> int:
    """Compare hosts, clusters and BMCs with what the last converge left and the file says; change nothing.

    Exit code 0: no drift; 2: drift; 4: some hosts could not be asked; 5: none could. Spares
    are not looked at, nor hosts in maintenance, which are named.
    """
    from bmk.cli.ages import seconds_ago
    from bmk.drift.collector import CollectLimits
    from bmk.drift.model import SEVERITIES
    from bmk.live.drift_service import DriftRequest, find_drift
    from bmk.live.workspace import open_workspace
    from bmk.report.drift import only as filtered

    after = time.time() - seconds_ago(since) if since else 0.0
    workspace = open_workspace(dc)
    hosts = [h for h in workspace.select(limit) if h.role != "spare"]
    began = time.time()
    limits = CollectLimits(seconds=deadline, parallel=parallel)
    wish = DriftRequest(workspace.run_id, _bmc(workspace) if bmc else None, limits)
    standings = find_drift(workspace.dc, workspace.journal, hosts, wish)
    if write is not None:
        _leave(workspace, write, began, standings)
    shown = filtered(standings, [s for s in SEVERITIES if s in only], after)
    _show(workspace, shown, began, output)
    return _exit(shown)


def _bmc(workspace: Workspace) -> Connect:
    from bmk.bmc import Timeouts

    return lambda host: workspace.services.bmc(host, Timeouts(connect=4, request=30, patience=30))


def _exit(standings: Sequence[DriftStatus]) -> int:
    """Hosts that could not be asked count before drift."""
    from bmk.errors import Exit

    unknown = [s for s in standings if s.troubles]
    if unknown:
        return Exit.UNREACHABLE if len(unknown) == len(standings) else Exit.SOME_HOSTS
    return Exit.PENDING if any(s.drift for s in standings) else Exit.OK


def _show(workspace: Workspace, standings: Sequence[DriftStatus], began: float, output: str) -> None:
    from bmk.report.drift import as_junit, as_metrics, document, table

    now = time.time()
    if output in ("json", "yaml"):
        dump(document(workspace.dc.name, workspace.run_id, now, now - began, standings), output)
    elif output == "prom":
        click.echo(as_metrics(workspace.dc.name, now, now - began, standings), nl=False)
    elif output == "junit":
        click.echo(as_junit(workspace.dc.name, standings), nl=False)
    elif output == "html":
        from bmk.cli.records import seen
        from bmk.report.site import write_page

        journal = workspace.journal
        click.echo(write_page(workspace.dc, journal, seen(journal, workspace.dc.name)), nl=False)
    else:
        click.echo("\n".join(table(standings, wide=output == "wide")))
        say(_summary(workspace.dc.name, standings, now - began))


def _summary(dc: str, standings: Sequence[DriftStatus], seconds: float) -> str:
    from bmk.report.drift import summary

    counts = summary(standings)
    found = ", ".join(f"{counts[s]} {s}" for s in reversed(_SEVERITIES) if counts[s]) or "no drift"
    unknown = f", {counts['unknown']} unknown" if counts["unknown"] else ""
    unknown += f", {counts['alone']} left alone" if counts["alone"] else ""
    return f"{dc}: {found}{unknown} on {counts['hosts']} hosts and clusters in {seconds:.1f} s"


def _leave(workspace: Workspace, directory: Path, began: float, standings: Sequence[DriftStatus]) -> None:
    import json

    from bmk.cli.output import replace_whole
    from bmk.cli.records import seen
    from bmk.report.drift import as_metrics, document
    from bmk.report.site import write_page

    now, journal = time.time(), workspace.journal
    page = write_page(workspace.dc, journal, seen(journal, workspace.dc.name))
    directory.mkdir(parents=True, exist_ok=True)
    body = document(workspace.dc.name, workspace.run_id, now, now - began, standings)
    for name, text in (
        ("drift.json", json.dumps(body, indent=1) + "\n"),
        ("drift.prom", as_metrics(workspace.dc.name, now, now - began, standings)),
        ("index.html", page),
    ):
        replace_whole(directory / name, text)
