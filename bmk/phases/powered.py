"""The machine is on: to be installed with an open grant and one network boot, or from its disk when it is installed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict

from bmk.bmc.protocol import Bmc
from bmk.boot import grants
from bmk.boot.grants import Grant
from bmk.datacenter.resolve import Host
from bmk.engine.phase import AttemptFailed, Context, Phase
from bmk.engine.run import Timing
from bmk.errors import PreflightRefused
from bmk.journal import Event
from bmk.journal.records import InstallationRecord, ReinstallOrder
from bmk.phases.attestation import deliver
from bmk.phases.identity import check_identity
from bmk.plan import Actual, Change
from bmk.plan.disks import choose_disk, inspection_of
from bmk.plan.wipe import needs_install, why_confirm, why_install

_ENOUGH = 600.0  # seconds a grant must still have to be worth adopting
_JUST_NOW = 60.0  # seconds for which a BMC that said who it is need not say it again


class Powered(Phase):
    name = "powered"
    title = "Power on"
    needs = ("removed",)

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        if not needs_install(host, actual):
            off = actual.power == "off"
            return [self.change("power-on", "power on, boot from disk", "installed, and off")] if off else []
        if actual.grant is not None and actual.grant.claimed:
            return []
        how = "power cycle" if actual.power == "on" else "power on"
        way = host.profile.attestation.way
        proof = "without a proof" if way == "none" else f"proven by {way}"
        text = f"permit one installation, {proof}, boot once by {host.profile.boot}, {how}"
        return [self.change("power-install", text, why_install(host, actual))]

    async def run(self, ctx: Context) -> None:
        async with ctx.bmc() as bmc:
            await self._power(ctx, bmc)

    async def _power(self, ctx: Context, bmc: Bmc) -> None:
        if time.monotonic() - ctx.identified > _JUST_NOW:
            await check_identity(ctx, bmc)
        if not needs_install(ctx.host, ctx.actual) or _installed_meanwhile(ctx):
            await ctx.call(bmc.set_power, "on")
            return
        refuse_unconfirmed(ctx)
        grant = await ctx.call(_adopt_or_open, ctx)
        ctx.grant_id = grant.id
        if grant.claimed is None:
            await _boot_installer(ctx, bmc, grant)

    def deadline(self, host: Host, timing: Timing) -> float:
        return 300


def _installed_meanwhile(ctx: Context) -> bool:
    """An installation that ended since one looked. Asked when no grant is open any more, so the answer stays true."""
    if grants.current(ctx.run.journal, ctx.host.name, time.time()) is not None:
        return False
    journal, name, before = ctx.run.journal, ctx.host.name, ctx.actual.installed
    now = InstallationRecord.load(journal, name)
    if now is None or ReinstallOrder.load(journal, name) or (before is not None and now.grant == before.grant):
        return False
    ctx.emit("host.adopted", "was installed meanwhile: nothing is granted or wiped")
    return True


def refuse_unconfirmed(ctx: Context) -> None:
    """Checked again here, where it matters, whatever the plan and the command line have checked before."""
    why = why_confirm(ctx.host, ctx.actual)
    if why and ctx.host.name not in ctx.run.confirmed:
        raise PreflightRefused(
            "installing would destroy data that a person has to give up by name",
            where=ctx.host.name,
            why=why,
            hint=f"bmk provision {ctx.run.dc.name} --confirm {ctx.host.name}",
        )


def _adopt_or_open(ctx: Context) -> Grant:
    """The open grant of an earlier run when it fits, a new one otherwise. A claimed one is always left alone."""
    journal, host, now = ctx.run.journal, ctx.host, time.time()
    identity = journal.facts(host.name).get("identity") or {}
    wanted = grants.permission(
        host, ctx.run.services.image(), uuid=identity.get("uuid"), confirmed=_confirmed_disk(ctx)
    )
    grant = grants.current(journal, host.name, now)
    if grant is not None:
        if grant.claimed is not None or (_permits(grant, wanted) and grant.expires - now > _ENOUGH):
            ctx.emit("grant.adopted", f"continues grant {grant.id[:8]} (attempt {grant.attempt})", grant=grant.id)
            return grant
        grants.revoke(journal, host.name, now)
    return grants.open_grant(journal, wanted, now)


def _confirmed_disk(ctx: Context) -> str | None:
    if ctx.host.name not in ctx.run.confirmed:
        return None
    inspection = inspection_of(ctx.host, ctx.run.journal.facts(ctx.host.name).get("inspection"))
    return choose_disk(ctx.host.disk, inspection).identity


def _permits(grant: Grant, wanted: grants.Permission) -> bool:
    """Whether an open grant says exactly what would be granted now."""
    return all(getattr(grant, key) == value for key, value in asdict(wanted).items())


async def _boot_installer(ctx: Context, bmc: Bmc, grant: Grant) -> None:
    """One network boot for this grant. When an earlier run did it just now, the machine is only kept on.

    It is off when its BMC gets the secret: the system that ran on it could read it there too, and pass it on.
    """
    power = await ctx.call(bmc.power)
    if power == "on" and _was_booted(ctx, grant):
        await deliver(ctx, bmc, grant)
        return
    await ctx.call(bmc.set_boot_once, ctx.host.profile.boot, ctx.host.profile.firmware)
    if _claimed(ctx, grant):  # while the BMC was slow: resetting it now would cost this attempt
        return
    if power == "on":
        await ctx.call(bmc.set_power, "off")
        _end_interrupted(ctx, grant)
    await deliver(ctx, bmc, grant)
    await ctx.call(bmc.set_power, "on")
    ctx.emit("host.booted", f"powered on for installation (grant {grant.id[:8]})", grant=grant.id)


def _end_interrupted(ctx: Context, grant: Grant) -> None:
    """A ramdisk of an earlier run may have claimed the grant just before it was powered off: it will never report.

    Its grant ends now, and a new attempt begins at once instead of when the ramdisk has been silent for long.
    """
    if _claimed(ctx, grant) and grants.end(ctx.run.journal, grant.id, "failed", time.time()):
        what = "the ramdisk claimed its grant in the moment in which the machine was powered off"
        raise AttemptFailed(what, where=ctx.host.name, hint=f"bmk provision {ctx.run.dc.name}")


def _was_booted(ctx: Context, grant: Grant) -> bool:
    events = ctx.run.journal.since(host=ctx.host.name)
    return still_booting(events, grant.id, time.time() - ctx.host.profile.boot_timeout)


def still_booting(events: Sequence[Event], grant: str, after: float) -> bool:
    """Whether the newest boot in `events` (oldest first) was for this grant, is younger than `after` (epoch seconds),
    and no run gave it up.
    """
    told = (e for e in reversed(events) if e.kind == "host.booted" or (e.kind, e.phase) == ("phase.failed", "booting"))
    newest = next(told, None)
    return newest is not None and newest.data.get("grant") == grant and newest.at > after


def _claimed(ctx: Context, grant: Grant) -> bool:
    return grants.get(ctx.run.journal, grant.id).claimed is not None
