"""Running an action from a command: shows its plan, asks, does it, and says how each host ended."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from bmk.cli.output import say

if TYPE_CHECKING:
    from bmk.datacenter.resolve import Host
    from bmk.engine.action import Action
    from bmk.engine.executor import Outcome
    from bmk.engine.lock import RunLock
    from bmk.engine.rollout import Asked
    from bmk.errors import PreflightRefused
    from bmk.journal.sinks import Sink
    from bmk.live.workspace import Look, Workspace
    from bmk.plan import Plan
    from bmk.plan.actual import Observation

_NAMED = 20  # hosts to confirm that an error names; the plan above it names all


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What the user asked for. `again`: the command that continues this one; `rollout`: as in `Options`.

    `look`: what the action has to know besides what every action sees. `name`: what a person types instead of yes.
    """

    again: str
    yes: bool
    confirm: tuple[str, ...]
    plan: Path | None = None
    events: str | None = None
    rollout: Asked = field(default_factory=dict)
    look: Look | None = None
    name: str = ""


def leave() -> NoReturn:
    """Exit at once: Python would wait for threads that wait for a silent BMC. The journal has everything already."""
    from bmk.errors import Exit

    say("interrupted; the same command continues")
    sys.stdout.flush()
    os._exit(Exit.INTERRUPTED)


def run_action(workspace: Workspace, action: Action, hosts: Sequence[Host], wish: RunRequest, lock: RunLock) -> int:
    """The exit code. Raises Declined when nobody agreed, SomeHostsFailed at the end."""
    from bmk.boot.tpm.accepted import waiting
    from bmk.cli.tables import show_smoke
    from bmk.datacenter.hosts import unproven
    from bmk.datacenter.routing import egress_lines
    from bmk.live.cluster_guard import refusal
    from bmk.plan.files import check_against
    from bmk.plan.show import lines

    workspace.select((), wish.confirm)
    hosts, refused = workspace.allowed(hosts, action.brings) if action.guarded else (list(hosts), [])
    plan, seen = workspace.plan(hosts, action, wish.look)
    if wish.plan is not None:
        check_against(wish.plan, plan)
    notes = egress_lines(workspace.dc, [h.host for h in plan.pending])
    say("\n".join(lines(plan, workspace.dc.hosts, unproven(hosts), notes)))
    alone = refusal(workspace.dc, refused) if refused else None
    if plan.empty:
        return _nothing_else(alone)
    if alone is not None:
        say(str(alone))
    people = waiting(workspace.journal, hosts, workspace.dc.name)
    if people:
        say(people)
    if any(change.disk for host in plan.pending for change in host.changes):
        workspace.services.image()  # fails once, not for each host, when there is no image
    _agree(plan, wish)
    began = workspace.journal.last_seq()
    outcomes = _perform(workspace, action, plan, seen, wish, lock)
    show_smoke(workspace.journal.since(began, kind="smoke.check"))
    return _report(outcomes, workspace, wish, alone)


def show_plan(workspace: Workspace, action: Action, hosts: Sequence[Host], look: Look | None = None) -> int:
    """What an action would do, on stdout. The exit code: PENDING when there is something."""
    from bmk.errors import Exit
    from bmk.plan.show import lines

    plan, _ = workspace.plan(hosts, action, look)
    click.echo("\n".join(lines(plan, workspace.dc.hosts, verbose=True)))
    return Exit.OK if plan.empty else Exit.PENDING


def _nothing_else(alone: PreflightRefused | None) -> int:
    """No host has changes: success, unless there are clusters that were left alone."""
    from bmk.errors import Exit

    if alone is not None:
        raise alone
    return Exit.OK


def _agree(plan: Plan, wish: RunRequest) -> None:
    """Raises Declined unless a person, or --yes, wants this, and each host with foreign data was named."""
    from bmk.errors import Declined

    missing = {h: why for h, why in plan.unconfirmed.items() if h not in wish.confirm}
    if missing:
        shown = list(missing)[:_NAMED]
        names = " ".join(f"--confirm {h}" for h in shown)
        why = "; ".join(f"{h}: {missing[h]}" for h in shown)
        more = f"; and {len(missing) - _NAMED} more, as the plan shows" if len(missing) > _NAMED else ""
        raise Declined("disks with foreign data would be wiped", why=why + more, hint=f"{wish.again} {names}")
    if wish.yes:
        return
    if not sys.stdin.isatty():
        way = f"--confirm {wish.name}" if wish.name else "--yes"
        raise Declined(f"there is no terminal to ask on, and no {way.split(maxsplit=1)[0]}", hint=f"{wish.again} {way}")
    if wish.name:
        if click.prompt(f"Type {wish.name} to do this", default="", show_default=False, err=True) != wish.name:
            raise Declined("another name was typed, and nothing was changed", hint=wish.again)
        return
    if not click.confirm("Do this?", default=False, err=True):
        raise Declined("nothing was changed", hint=f"bmk plan {plan.dc}")


def _perform(  # noqa: PLR0913, PLR0917 - everything that a run needs
    workspace: Workspace, action: Action, plan: Plan, seen: Observation, wish: RunRequest, lock: RunLock
) -> list[Outcome]:
    from bmk.engine.session import Options, perform

    with ExitStack() as stack:
        sinks = [stack.enter_context(closing(s)) for s in _sinks(workspace, plan, wish, stack)]
        options = Options(
            sinks=sinks,
            confirmed=frozenset(wish.confirm),
            timing=workspace.timing,
            rollout=wish.rollout,
            check=lock.check,
        )
        return asyncio.run(_interruptible(perform(workspace.setup, action, plan, seen, options), lock))


def _sinks(workspace: Workspace, plan: Plan, wish: RunRequest, stack: ExitStack) -> list[Sink]:
    """A live table on a terminal, else plain lines (fewer for many hosts); JSON lines with -o json."""
    from bmk.cli.output import console
    from bmk.journal.live_table import LiveTable
    from bmk.journal.overview import MANY
    from bmk.journal.sinks import JsonLines, Lines, ProgressLines

    racks = {h.host: workspace.dc.hosts[h.host].rack for h in plan.pending}
    plain = Lines if len(racks) < MANY else ProgressLines
    shown: Sink = LiveTable(console(), racks) if sys.stderr.isatty() else plain(sys.stderr, frozenset(racks))
    if wish.events is None:
        return [shown]
    stream = sys.stdout if wish.events == "-" else stack.enter_context(open(wish.events, "a"))  # noqa: PTH123, SIM115 - the stack closes it
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


def _report(outcomes: list[Outcome], workspace: Workspace, wish: RunRequest, alone: PreflightRefused | None) -> int:
    """How it ended, for people. `alone`: why hosts of some clusters were not touched."""
    from bmk.cli.tables import show_failures
    from bmk.errors import SomeHostsFailed
    from bmk.hostlist import compact

    show_failures(outcomes)
    bad = [o.host for o in outcomes if o.error is not None]
    done = f"{len(outcomes)} hosts done" if outcomes else "done"
    if not bad and alone is not None:
        raise SomeHostsFailed(f"{done}; {alone.what}", why=alone.why, hint=alone.hint)
    if not bad:
        say(f"{done}; next: bmk status {workspace.dc.name}")
        return 0
    raise SomeHostsFailed(
        f"{len(bad)} of {len(outcomes)} hosts failed: {compact(bad)}",
        hint=f"{wish.again} continues",
    )
