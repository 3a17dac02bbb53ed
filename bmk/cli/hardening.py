"""`bmk hardening`: every control on every node and API, with the evidence seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bmk.cli.options import dc_argument, limit_option, output_option
from bmk.cli.output import dump, emit, say

if TYPE_CHECKING:
    from bmk.hardening.assess import ControlResult, HardeningReport

_SHORT = 90  # characters of evidence in a table


@click.command(name="hardening", epilog="Example: bmk hardening par -o html > hardening.html")
@dc_argument
@limit_option
@click.option("--control", "controls", multiple=True, metavar="ID", help="Only this control; several times.")
@output_option("table", "wide", "json", "junit", "html")
def command(dc: str, limit: tuple[str, ...], controls: tuple[str, ...], output: str) -> int:
    """Check every control of DC on every node and in the API, and count the exceptions. Changes nothing.

    The table shows what is not as it should be; wide shows all. Exit code 0: all hold or are waived; 2: something
    fails; 4: the rest holds, some did not answer; 5: nobody answered. What was not seen is unknown, never a pass.
    """
    from bmk.live.hardening_service import assess_hardening, remember
    from bmk.live.workspace import open_workspace

    known = _known(controls)
    workspace = open_workspace(dc)
    hosts, alone = workspace.attended(workspace.select(limit))
    for name, why in alone.items():
        say(f"{name}: left alone, {why}")
    report = assess_hardening(workspace.dc, workspace.services, hosts)
    remember(workspace.dc, workspace.journal, report)
    report = _only(report, known)
    _print(report, output)
    if output in ("table", "wide"):
        _say(report, dc)
    return exit_code(report)


def exit_code(report: HardeningReport) -> int:
    """Failed controls count before hosts that did not answer."""
    from bmk.errors import Exit

    counts = report.counts
    if counts["fail"]:
        return Exit.PENDING
    if counts["unknown"]:
        nobody = counts["unknown"] == len(report.results)
        return Exit.UNREACHABLE if nobody else Exit.SOME_HOSTS
    return Exit.OK


def _known(controls: tuple[str, ...]) -> frozenset[str]:
    from bmk.datacenter.problems import did_you_mean
    from bmk.errors import ConfigError
    from bmk.hardening.controls import BY_ID

    for control in controls:
        if control not in BY_ID:
            raise ConfigError(f"there is no control {control!r}", hint=did_you_mean(control, BY_ID))
    return frozenset(controls)


def _only(report: HardeningReport, controls: frozenset[str]) -> HardeningReport:
    from dataclasses import replace

    if not controls:
        return report
    return replace(report, results=tuple(r for r in report.results if r.control in controls))


def _print(report: HardeningReport, output: str) -> None:
    if output == "json":
        dump(report.as_dict(), output)
    elif output == "junit":
        from bmk.report.hardening import as_junit

        click.echo(as_junit(report), nl=False)
    elif output == "html":
        from bmk.report.hardening import as_html

        click.echo(as_html(report), nl=False)
    else:
        shown = [r for r in report.results if output == "wide" or r.state not in ("pass", "na")]
        emit(
            [_row(r, output) for r in shown],
            output,
            ("where", "control", "state", "severity", "seen"),
            ("cis", "title"),
        )


def _row(result: ControlResult, output: str) -> dict[str, Any]:
    seen = result.seen if not result.reason else f"{result.seen} (waived: {result.reason})"
    if output != "wide" and len(seen) > _SHORT:
        seen = seen[: _SHORT - 3] + "..."
    row = {"where": result.where, "control": result.control, "state": result.state, "severity": result.severity}
    return {**row, "seen": seen, "cis": result.cis or None, "title": result.title}


def _say(report: HardeningReport, dc: str) -> None:
    for exception in report.exceptions:
        say(f"{exception.kind}: {exception.what}: {exception.detail}")
    for silent in report.silent:
        say(f"not asked: {silent.name}: {silent.why}")
    counts = ", ".join(f"{number} {state}" for state, number in report.counts.items())
    say(f"{counts}; {len(report.exceptions)} exceptions; {report.seconds:.1f} s")
    if report.counts["fail"]:
        say(f"next: bmk provision {dc} puts right what bmk sets; docs/hardening.md says how to relax a control")
