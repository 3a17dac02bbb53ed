"""The proof of the ramdisk is checked, its host keys are pinned, and the machine boots from its disk from now on."""

from __future__ import annotations

from bmk.boot import grants
from bmk.boot.grants import Grant
from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Phase
from bmk.engine.run import Timing
from bmk.errors import BmcError, PhaseFailed
from bmk.journal.records import InstallationRecord
from bmk.phases.attestation import withdraw
from bmk.plan import Actual, Change
from bmk.plan.wipe import needs_install, why_install


class Installed(Phase):
    name = "installed"
    title = "Prove the installation"
    needs = ("imaging",)

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        if not needs_install(host, actual):
            return []
        return [self.change("prove", "check the written image, pin the host's ssh keys", why_install(host, actual))]

    async def run(self, ctx: Context) -> None:
        grant = self._checked(ctx, await ctx.until(lambda: _record(ctx)))
        await self._boot_from_disk(ctx, grant)

    def deadline(self, host: Host, timing: Timing) -> float:
        return 120

    def _checked(self, ctx: Context, record: InstallationRecord) -> Grant:
        """The grant, when its image was written, and by a machine that proved itself as the grant demands."""
        grant = grants.latest(ctx.run.journal, ctx.host.name)
        if grant is None or grant.outcome != "spent" or record.image_sha256 != grant.image_sha256:
            what = "what was written is not what was granted"
            why = f"image {record.image_sha256}, grant {grant.image_sha256 if grant else None}"
        elif record.attest != grant.attest:
            what = "who wrote it did not prove to be the granted machine"
            why = f"proven by {record.attest}, the grant demands {grant.attest}"
        else:
            return grant
        raise PhaseFailed(what, where=ctx.host.name, why=why, hint=f"bmk why {ctx.run.dc.name} {ctx.host.name}")

    async def _boot_from_disk(self, ctx: Context, grant: Grant) -> None:
        """Take back the network boot. Without a grant it ends at the disk anyway: a BMC that balks is no failure."""
        try:
            async with ctx.bmc() as bmc:
                await ctx.call(bmc.clear_boot_once)
                await withdraw(ctx, bmc, grant)
        except BmcError as error:
            ctx.emit("bmc.override-left", f"the boot override could not be cleared: {error.what}", "warning")


def _record(ctx: Context) -> InstallationRecord | None:
    """Of this installation, not of the one that it replaces."""
    grant = grants.latest(ctx.run.journal, ctx.host.name)
    record = InstallationRecord.load(ctx.run.journal, ctx.host.name)
    return record if record is not None and grant is not None and record.grant == grant.id else None
