"""The ramdisk wipes the granted disk, writes the image, and proves it."""

from __future__ import annotations

import time

from bmk.boot import grants
from bmk.boot.grants import Grant
from bmk.datacenter.resolve import Host
from bmk.engine.journal_watcher import HostSilent
from bmk.engine.phase import AttemptFailed, Context, Effects, Phase
from bmk.engine.run import Timing
from bmk.errors import PhaseFailed
from bmk.journal import Event
from bmk.journal.causes import likely_cause
from bmk.phases.console_attestation import reading_console
from bmk.plan import Actual, Change, DiskChoice
from bmk.plan.disks import choose_disk
from bmk.plan.wipe import needs_install, why_confirm, why_install

SILENCE = {"standard": 90.0, "emulated": 240.0}  # seconds without any sign of life after which a ramdisk is lost


class Imaging(Phase):
    name = "imaging"
    title = "Write the image"
    needs = ("booting",)
    effects = Effects(replaces_disk=True)

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        if not needs_install(host, actual):
            return []
        if actual.grant is not None and actual.grant.claimed:
            return [
                self.change("await-image", "wait for the installation that is under way", "a ramdisk holds the grant")
            ]
        disk = choose_disk(host.disk, actual.inspection)
        text = f"wipe {_named(disk)}, write the node image"
        return [self.change("wipe", text, why_install(host, actual), disk=disk, confirm=why_confirm(host, actual))]

    async def run(self, ctx: Context) -> None:
        async with reading_console(ctx):
            try:
                grant = await ctx.until(lambda: _ended(ctx), idle=SILENCE[ctx.timing])
            except HostSilent:
                raise _give_up(ctx) from None
            if grant.outcome != "spent":
                raise _failed(ctx, grant)

    def deadline(self, host: Host, timing: Timing) -> float:
        return {"standard": 1800, "emulated": 2400}[timing]


def _named(disk: DiskChoice) -> str:
    return f"disk {disk.identity}" if disk.identity else f"the disk that matches: {disk.selector}"


def _ended(ctx: Context) -> Grant | None:
    """The grant once it ended. One that ran out in the hands of a ramdisk is not over as long as that may report."""
    grant = grants.latest(ctx.run.journal, ctx.host.name)
    if grant is None:
        raise PhaseFailed("the grant of this installation is gone from the journal", where=ctx.host.name)
    return None if grant.ended is None or grant.may_finish(time.time()) else grant


def _give_up(ctx: Context) -> AttemptFailed:
    """The ramdisk died with the grant in its hands: take the grant away, so that a new attempt starts clean."""
    cause = Imaging().overdue(ctx)
    grant = grants.latest(ctx.run.journal, ctx.host.name)
    if grant is not None:
        grants.end(ctx.run.journal, grant.id, "failed", time.time())
    return AttemptFailed(cause.what, where=ctx.host.name, why=cause.why, hint=cause.hint)


def _failed(ctx: Context, grant: Grant) -> PhaseFailed:
    """What the ramdisk said went wrong, stored together with the end of the grant: a quotation, with bmk's advice."""
    said = _report(ctx, grant)
    if said is None:
        what = f"the grant of this installation was ended: {grant.outcome}"
        return PhaseFailed(what, where=ctx.host.name, hint=f"bmk why {ctx.run.dc.name} {ctx.host.name}")
    kind = AttemptFailed if said.data.get("retry") is True else PhaseFailed
    cause = likely_cause(ctx.phase, [said], ctx.run.dc.name, ctx.host.name, time.time())
    return kind(cause.what, where=ctx.host.name, why=cause.why, hint=cause.hint)


def _report(ctx: Context, grant: Grant) -> Event | None:
    events = ctx.run.journal.since(0, host=ctx.host.name, kind="agent.failed")
    return next((e for e in reversed(events) if e.data.get("grant") == grant.id), None)
