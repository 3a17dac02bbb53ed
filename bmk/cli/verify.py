"""`bmk verify`: proof that hosts and clusters work."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import click

from bmk.cli.options import dc_argument, limit_option, output_option
from bmk.cli.output import dump, say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bmk.datacenter.resolve import Host
    from bmk.journal.left_alone import LeftAlone
    from bmk.live.workspace import Workspace
    from bmk.verify.run import VerifyResult

_FORMATS = ("table", "wide", "json", "yaml", "junit", "html", "prom")


@click.command(name="verify", epilog="Example: bmk verify par --limit r2 -o junit")
@dc_argument
@limit_option
@click.option("--smoke/--no-smoke", default=True, show_default=True, help="Also run pods in the clusters.")
@output_option(*_FORMATS)
def command(dc: str, limit: tuple[str, ...], smoke: bool, output: str) -> int:
    """Prove that hosts and clusters work as they should: suites on every host, pods in every cluster.

    Suites ask over ssh and change nothing; pods are gone afterwards. Exit code 0: all passed; 1: something is wrong;
    4: some hosts could not be asked; 5: none could. Spares are not looked at, nor hosts in maintenance.
    """
    from bmk.live.workspace import open_workspace

    workspace = open_workspace(dc)
    hosts = [h for h in workspace.select(limit) if h.role != "spare"]
    began = time.time()
    there, alone = workspace.attended(hosts)
    with ThreadPoolExecutor(2) as pool:
        pods = pool.submit(_smoke, workspace, hosts) if smoke else None
        results = _unasked(alone) + _suites(workspace, there) + (pods.result() if pods is not None else [])
    _show(workspace, results, time.time() - began, output)
    return _exit(results)


def _unasked(alone: Mapping[str, LeftAlone]) -> list[VerifyResult]:
    """Hosts that a person wants to be left alone."""
    from bmk.report.verify import WHOLE
    from bmk.verify.run import VerifyResult

    return [VerifyResult(name, WHOLE, "it serves", "skipped", f"left alone, {why}") for name, why in alone.items()]


def _suites(workspace: Workspace, hosts: Sequence[Host]) -> list[VerifyResult]:
    """Results of the suites. A host whose ssh does not answer gets one error instead of one for each test."""
    from bmk.datacenter.credentials import ssh_settings
    from bmk.live.known_hosts import write_known_hosts
    from bmk.ssh import deployer_key
    from bmk.verify.run import VerifyResult, verify

    with ThreadPoolExecutor(32) as pool:
        states = dict(zip([h.name for h in hosts], pool.map(workspace.services.ssh, hosts), strict=True))
    silent = [
        VerifyResult(name, "ssh", "it answers", "error", f"ssh: {state}")
        for name, state in states.items()
        if state != "ok"
    ]
    known_hosts = write_known_hosts(workspace.dc, workspace.journal)
    settings = "\n".join(ssh_settings(deployer_key(workspace.dc.state), known_hosts))
    asked = {h.name: f"ssh://root@{h.address}" for h in hosts if states[h.name] == "ok"}
    return silent + verify(asked, settings)


def _smoke(workspace: Workspace, hosts: Sequence[Host]) -> list[VerifyResult]:
    from bmk.errors import BmkError
    from bmk.verify.run import VerifyResult

    results = []
    for name in sorted({h.cluster for h in hosts if h.cluster is not None}):
        try:
            for check in workspace.services.cluster(name).smoke():
                where = f"{name}/{check.host}" if check.host else name
                results.append(
                    VerifyResult(where, "smoke", check.name, "passed" if check.ok else "failed", check.detail)
                )
        except BmkError as error:
            results.append(VerifyResult(name, "smoke", "the API answers", "error", error.what))
    return results


def _exit(results: Sequence[VerifyResult]) -> int:
    from bmk.errors import Exit

    places = {r.where for r in results}
    unknown = {r.where for r in results if r.outcome == "error"}
    if unknown:
        return Exit.UNREACHABLE if unknown == places else Exit.SOME_HOSTS
    return Exit.FAILED if any(r.outcome == "failed" for r in results) else Exit.OK


def _show(workspace: Workspace, results: Sequence[VerifyResult], seconds: float, output: str) -> None:
    from bmk.report import verify as report

    name = workspace.dc.name
    if output in ("json", "yaml"):
        dump(report.document(name, seconds, results), output)
    elif output in ("junit", "prom"):
        text = {"junit": report.as_junit, "prom": report.as_metrics}[output]
        click.echo(text(name, results), nl=False)
    elif output == "html":
        click.echo(report.as_html(name, seconds, results), nl=False)
    else:
        click.echo("\n".join(report.table(name, results, wide=output == "wide")))
        say(report.summary(name, seconds, results))
