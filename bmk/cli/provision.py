"""`bmk provision`: the main job. Shows the plan, asks, does it, and says how each host ended."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from bmk.cli.options import complete_hosts, dc_argument, limit_option
from bmk.cli.output import say

if TYPE_CHECKING:
    from bmk.engine.executor import Outcome
    from bmk.engine.lock import RunLock
    from bmk.errors import PreflightRefused
    from bmk.journal.sinks import Sink
    from bmk.live.workspace import Workspace
    from bmk.plan import Actual, Plan


_NAMED = 20  # hosts to confirm that an error names; the plan above it names all


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the user asked for."""

    limit: tuple[str, ...]
    yes: bool
    confirm: tuple[str, ...]
    plan: Path | None
    events: str | None


@click.command(name="provision", epilog="Example: bmk provision par --limit r2 --plan r2.plan")
@dc_argument
@limit_option
@click.option("--yes", "-y", is_flag=True, help="Do not ask; needed where there is no terminal.")
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
def command(dc: str, **wish: Any) -> int:
    """Turn the powered-off machines of DC into Ready clusters.

    Can be killed at any time: the same command does what is left. A lab is brought up first.
    """
    from bmk.engine.lock import RunLock
    from bmk.live.workspace import open_and_start

    workspace = open_and_start(dc, say)
    try:
        with RunLock(workspace.journal, workspace.run_id) as lock:
            return _provision(workspace, _Wish(**wish), lock)
    except KeyboardInterrupt:
        _leave()


def _leave() -> NoReturn:
    """Exit now. Python would wait for every thread that waits for a silent BMC; the journal has everything already."""
    from bmk.errors import Exit

    say("interrupted; the same command continues")
    sys.stdout.flush()
    os._exit(Exit.INTERRUPTED)


def _provision(workspace: Workspace, wish: _Wish, lock: RunLock) -> int:
    from bmk.actions.provision import PROVISION
    from bmk.boot.tpm.accepted import waiting
    from bmk.datacenter.hosts import unproven
    from bmk.datacenter.routing import egress_lines
    from bmk.live.cluster_guard import refusal
    from bmk.plan.files import check_against
    from bmk.plan.show import lines

    workspace.select((), wish.confirm)
    hosts, refused = workspace.allowed(workspace.select(wish.limit))
    plan, actuals = workspace.plan(hosts, PROVISION)
    if wish.plan is not None:
        check_against(wish.plan, plan)
    notes = egress_lines(workspace.dc, [h.host for h in plan.pending])
    say("\n".join(lines(plan, workspace.dc.hosts, unproven(hosts), notes)))
    alone = refusal(workspace.dc, refused) if refused else None
    if not plan.pending:
        return _nothing_else(alone)
    if alone is not None:
        say(str(alone))
    people = waiting(workspace.journal, hosts, workspace.dc.name)
    if people:
        say(people)
    if any(change.disk for host in plan.pending for change in host.changes):
        workspace.services.image()  # refuses now, not host by host, when there is nothing to install
    _agree(plan, wish, workspace.dc.name)
    began = workspace.journal.last_seq()
    return _report(_perform(workspace, plan, actuals, wish, lock), workspace, began, alone)


def _nothing_else(alone: PreflightRefused | None) -> int:
    """No host has changes: success, unless there are clusters that were left alone."""
    from bmk.errors import Exit

    if alone is not None:
        raise alone
    return Exit.OK


def _agree(plan: Plan, wish: _Wish, dc: str) -> None:
    """Raises Declined unless a person, or --yes, wants this, and each host with foreign data was named."""
    from bmk.errors import Declined

    missing = {h: why for h, why in plan.unconfirmed.items() if h not in wish.confirm}
    if missing:
        shown = list(missing)[:_NAMED]
        names = " ".join(f"--confirm {h}" for h in shown)
        why = "; ".join(f"{h}: {missing[h]}" for h in shown)
        more = f"; and {len(missing) - _NAMED} more, as the plan shows" if len(missing) > _NAMED else ""
        raise Declined("disks with foreign data would be wiped", why=why + more, hint=f"bmk provision {dc} {names}")
    if wish.yes:
        return
    if not sys.stdin.isatty():
        raise Declined("there is no terminal to ask on, and no --yes", hint=f"bmk provision {dc} --yes")
    if not click.confirm("Do this?", default=False, err=True):
        raise Declined("nothing was changed", hint=f"bmk plan {dc}")


def _perform(workspace: Workspace, plan: Plan, actuals: dict[str, Actual], wish: _Wish, lock: RunLock) -> list[Outcome]:
    from bmk.actions.provision import PROVISION
    from bmk.engine.session import Options, perform

    with ExitStack() as stack:
        sinks = [stack.enter_context(closing(s)) for s in _sinks(workspace, plan, wish, stack)]
        options = Options(sinks=sinks, confirmed=frozenset(wish.confirm), timing=workspace.timing, check=lock.check)
        work = perform(
            workspace.run_id, PROVISION, workspace.dc, workspace.services, workspace.journal, plan, actuals, options
        )
        return asyncio.run(_interruptible(work, lock))


def _sinks(workspace: Workspace, plan: Plan, wish: _Wish, stack: ExitStack) -> list[Sink]:
    """A live table on a terminal, plain lines elsewhere, few for many hosts; JSON lines where they were asked for."""
    from bmk.cli.output import console
    from bmk.journal.live_table import LiveTable
    from bmk.journal.overview import MANY
    from bmk.journal.sinks import JsonLines, Lines, ProgressLines

    racks = {h.host: workspace.dc.hosts[h.host].rack for h in plan.pending}
    plain = Lines if len(racks) < MANY else ProgressLines
    shown: Sink = LiveTable(console(), racks) if sys.stderr.isatty() else plain(sys.stderr, frozenset(racks))
    if wish.events is None:
        return [shown]
    stream = sys.stdout if wish.events == "-" else stack.enter_context(open(wish.events, "a"))  # noqa: PTH123, SIM115
    return [shown, JsonLines(stream)]


async def _interruptible(work: Coroutine[Any, Any, list[Outcome]], lock: RunLock) -> list[Outcome]:
    """SIGTERM and a lost lock end a run as Ctrl-C does: what is under way is cancelled and the journal says so."""
    import signal

    task, loop = asyncio.ensure_future(work), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    lock.on_lost = lambda _: loop.call_soon_threadsafe(task.cancel)
    try:
        lock.check()
        return await task
    except BaseException as error:
        if lock.lost is not None:
            raise lock.lost from None
        if isinstance(error, asyncio.CancelledError):
            raise KeyboardInterrupt from None
        raise


def _report(outcomes: list[Outcome], workspace: Workspace, began: int, alone: PreflightRefused | None) -> int:
    """How it ended, for people. `alone`: why hosts of some clusters were not touched."""
    from bmk.cli.tables import show_failures, show_smoke
    from bmk.errors import SomeHostsFailed
    from bmk.hostlist import compact

    show_smoke(workspace.journal.since(began, kind="smoke.check"))
    show_failures(outcomes)
    bad = [o.host for o in outcomes if o.error is not None]
    if not bad and alone is not None:
        raise SomeHostsFailed(f"{len(outcomes)} hosts done; {alone.what}", why=alone.why, hint=alone.hint)
    if not bad:
        say(f"{len(outcomes)} hosts done; next: bmk status {workspace.dc.name}")
        return 0
    raise SomeHostsFailed(
        f"{len(bad)} of {len(outcomes)} hosts failed: {compact(bad)}",
        hint=f"bmk provision {workspace.dc.name} continues",
    )
