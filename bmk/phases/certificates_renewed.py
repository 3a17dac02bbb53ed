"""Certificates of a control plane are renewed, one static pod after the other, each proven before the next.

What is to be done is seen anew whenever this begins: a run that was killed anywhere is continued by the next one.
"""

from __future__ import annotations

import asyncio
import time

from bmk.certificates.kind import STATIC_PODS
from bmk.certificates.kinds import KINDS
from bmk.certificates.renewal import RenewStep, arrived, steps
from bmk.certificates.standing import HostCertificates
from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Effects, Phase
from bmk.engine.run import Timing
from bmk.errors import PreflightRefused
from bmk.journal.records import RenewalOrder
from bmk.plan import Actual, Change


class CertificatesRenewed(Phase):
    name = "certificates_renewed"
    title = "Renew its certificates"
    effects = Effects(restarts=tuple(pod.name for pod in STATIC_PODS), returns=True, invalidates=(RenewalOrder,))

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        return [self.change("renew", str(step), "; ".join(step.why)) for step in actual.renewal]

    async def run(self, ctx: Context) -> None:
        services, order = ctx.run.services, RenewalOrder.load(ctx.run.journal, ctx.host.name)
        before = await _settled(ctx)
        for step in steps(before.standings, names_left(order)):
            ctx.emit("certificates.renewing", str(step), names=list(step.renew), program=step.program)
            await ctx.call(services.renew_certificates, ctx.host, step)
            before = await _taken_up(ctx, step, before)
            ctx.emit("certificates.renewed", f"done: {step}", names=list(step.renew), program=step.program)
            order = _noted(ctx, order, step, before)
        ctx.emit("host.certificates_renewed", "its certificates are renewed and in use")

    def deadline(self, host: Host, timing: Timing) -> float:
        return {"standard": 900, "emulated": 3600}[timing]


def _noted(ctx: Context, order: RenewalOrder | None, step: RenewStep, now: HostCertificates) -> RenewalOrder | None:
    """What an order has done; it ends with the last of what is there."""
    if order is None:
        return None
    order = order.model_copy(update={"done": (*order.done, *step.renew)})
    if names_left(order) & {standing.kind.name for standing in now.standings}:
        order.save(ctx.run.journal, ctx.host.name)
    else:
        RenewalOrder.drop(ctx.run.journal, ctx.host.name)
    return order


def names_left(order: RenewalOrder | None) -> frozenset[str]:
    """What an order asks for and was not done yet."""
    if order is None:
        return frozenset()
    return frozenset(kind.name for kind in KINDS if kind.renewal == "kubeadm") - set(order.done)


async def _settled(ctx: Context) -> HostCertificates:
    """What there is, once nothing is on its way any more: a run that was killed may have begun something just before.

    Here or on another control plane, of which nothing may be left to renew. What stays away is away for another reason;
    but of several API servers another one than this host's has to serve.
    """
    others, pods = set(ctx.actual.remaining) - {ctx.host.name}, {pod.name for pod in STATIC_PODS}
    planes = [ctx.host, *(ctx.run.dc.hosts[name] for name in sorted(others))]
    end = time.monotonic() + ctx.run.limits.grace
    while True:
        looks = [ctx.call(ctx.run.services.certificates, plane) for plane in planes]
        now, *elsewhere = await asyncio.gather(*looks)
        live = set(await ctx.call(ctx.run.services.cluster(ctx.host.cluster or "").live))
        well = all(pods <= look.healthy for look in (now, *elsewhere))
        if (others <= live and well) or time.monotonic() >= end:
            break
        await asyncio.sleep(ctx.run.limits.backoff)
    if others and not others & live:
        raise PreflightRefused(
            "its API server is left alone: no other control plane has one that serves",
            where=ctx.host.name,
            why=f"not ready: {', '.join(sorted(others))}",
            hint=f"bmk status {ctx.run.dc.name}; mend one of them first, the same command goes on",
        )
    return now


async def _taken_up(ctx: Context, step: RenewStep, before: HostCertificates) -> HostCertificates:
    """Wait until what was renewed is in use, and its program serves again."""
    now = before

    async def lacks() -> str:
        nonlocal now
        now = await ctx.call(ctx.run.services.certificates, ctx.host)
        ready = await _serves(ctx, step)
        return "" if ready and arrived(now, before, step) else _waits(now, step, ready=ready)

    await ctx.poll(lacks, "certificates.waiting", program=step.program)
    return now


async def _serves(ctx: Context, step: RenewStep) -> bool:
    """Whether the cluster says so as well: etcd's members for etcd, the API by its own address for the rest."""
    cluster = ctx.run.services.cluster(ctx.host.cluster or "")
    if step.program == "etcd":
        return bool((await ctx.call(cluster.etcd)).get(ctx.host.name))
    return not step.program or ctx.host.name in await ctx.call(cluster.live)


def _waits(now: HostCertificates, step: RenewStep, *, ready: bool) -> str:
    """What is not as it should be yet."""
    wrong = [f"{s.kind.name}: {s.text}" for s in now.standings if s.kind.program == step.program and s.state != "ok"]
    if wrong:
        return "; ".join(wrong)
    if step.program in now.healthy and ready:
        return f"{step.program} has not begun anew" if step.program else "the file is the old one"
    return f"{step.program} does not say that it is well"
