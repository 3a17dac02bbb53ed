"""Is this the machine that the file describes? Asked of its BMC before anything is done to it."""

from __future__ import annotations

import time
from dataclasses import asdict

from bmk.bmc.protocol import Bmc, Identity
from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context
from bmk.errors import PreflightRefused
from bmk.identity import mac_of, same_serial, same_uuid
from bmk.journal import Journal
from bmk.journal.records import InstallationRecord


def mismatches(host: Host, seen: Identity) -> list[str]:
    """What the BMC says differently from the file. Values it does not know do not count, but one of them must match.

    A BMC lists the MACs that it happens to know: that ours is not among them says nothing against a machine whose
    serial and UUID are right.
    """
    macs = set(filter(None, map(mac_of, seen.macs)))
    serial, uuid = same_serial(host.serial, seen.serial), same_uuid(host.uuid, seen.uuid)
    mac = bool(macs & {nic.mac for nic in host.nics}) if macs else None
    checks: list[tuple[str, str | None, str | None, bool | None]] = [
        ("serial", host.serial, seen.serial, serial),
        ("uuid", host.uuid, seen.uuid, uuid),
        ("mac", host.mac, ", ".join(sorted(macs)), mac or (None if serial and uuid else mac)),
    ]
    wrong = [
        f"{what}: the file says {wanted}, the BMC says {got}" for what, wanted, got, same in checks if same is False
    ]
    if not wrong and not any(same for *_, same in checks):
        return ["the BMC knows neither serial, uuid nor MACs: it cannot be told which machine this is"]
    return wrong


async def check_identity(ctx: Context, bmc: Bmc) -> Identity:
    """Read the identity and refuse the host when it is another machine."""
    seen = await ctx.call(bmc.identity)
    wrong = mismatches(ctx.host, seen)
    if wrong:
        raise PreflightRefused(
            "the BMC belongs to another machine than the file says",
            where=f"{ctx.host.name} (BMC {ctx.host.bmc_address})",
            why="; ".join(wrong),
            hint=f"correct {ctx.host.name} in {ctx.run.dc.source}, or the BMC's address or cable",
        )
    ctx.identified = time.monotonic()
    return seen


async def register(ctx: Context, bmc: Bmc) -> None:
    """Check and remember who the machine is and what is built in."""
    seen = await check_identity(ctx, bmc)
    _keep_serial(ctx.run.journal, ctx.host.name)
    ctx.run.journal.record(ctx.host.name, "identity", asdict(seen))
    ctx.run.journal.record(ctx.host.name, "inventory", asdict(await ctx.call(bmc.inventory)))
    ctx.emit("host.registered", f"BMC {ctx.host.bmc_address}: serial {seen.serial}, uuid {seen.uuid}")


def _keep_serial(journal: Journal, host: str) -> None:
    """Records of earlier versions do not say which machine was installed: the one that was registered until now."""
    installed, before = InstallationRecord.load(journal, host), journal.facts(host).get("identity") or {}
    if installed is not None and installed.serial is None and before.get("serial"):
        installed.model_copy(update={"serial": str(before["serial"])}).save(journal, host)
