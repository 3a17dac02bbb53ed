"""Which control plane runs `kubeadm init`, which ones join, and which wait. The decision is pure.

Running init twice creates two clusters, and running it again on the same host loses the members that joined in between.
So intent is journaled before init (`BootstrapRecord`), and no host joins until the host that runs init has finished.
"""

from __future__ import annotations

import asyncio
from collections.abc import Set
from dataclasses import dataclass
from typing import Literal

from bmk.engine.phase import Context
from bmk.errors import PhaseFailed
from bmk.journal.records import BootstrapRecord, MembershipRecord, ReinstallOrder

Step = Literal["begin", "finish", "join", "wait", "silent", "stuck"]


@dataclass(frozen=True, slots=True)
class ClusterState:
    """A cluster now. `founder`: the host that runs init and has not finished; `members`: control planes that have
    joined; `live`: those whose API server answers.
    """

    founder: str | None
    members: frozenset[str]
    live: tuple[str, ...]


def next_step(host: str, now: ClusterState, coming: Set[str]) -> Step:
    """What a control plane does next. `coming` are the control planes that are still on their way in this run.

    "silent": there are members, and no API server answers; "stuck": its founder has to finish first and is not here.
    """
    if now.founder == host:
        return "finish"
    if now.founder is not None:
        return "wait" if now.founder in coming else "stuck"
    if now.live:
        return "join"
    return "silent" if now.members - {host} else "begin"


async def cluster_state(ctx: Context) -> ClusterState:
    """The state of the cluster of this host, from the journal and from its control planes.

    Hosts with an order to be reinstalled do not count.
    """
    journal, cluster = ctx.run.journal, ctx.host.cluster or ""
    names = [h.name for h in ctx.run.dc.members(cluster, "control_plane")]
    begun, joined = BootstrapRecord.load_all(journal), MembershipRecord.load_all(journal)
    going = ReinstallOrder.load_all(journal)
    staying = [n for n in names if n not in going]
    members = frozenset(n for n in staying if n in joined and joined[n].cluster == cluster)
    founders = [n for n in staying if n in begun and begun[n].cluster == cluster and n not in members]
    live = await ctx.call(ctx.run.services.cluster(cluster).live)
    answering = tuple(n for n in live if n not in going)
    return ClusterState(None if members or not founders else founders[0], members, answering)


async def settled(ctx: Context, key: str) -> Step:
    """Wait until this control plane has something to do: begin, finish or join.

    Raises PhaseFailed when there is nobody to wait for.
    """
    silent_since: float | None = None
    while True:
        coming = ctx.run.batches.coming(key)  # before looking: who arrives meanwhile is a member in what is seen
        now = await cluster_state(ctx)
        step = next_step(ctx.host.name, now, coming)
        if step in ("begin", "finish", "join"):
            return step
        time = asyncio.get_running_loop().time()
        silent_since = time if step != "wait" and silent_since is None else silent_since
        if step == "stuck" or (silent_since is not None and time - silent_since >= grace(ctx)):
            raise _hopeless(ctx, now)
        await asyncio.sleep(ctx.run.limits.backoff)


async def cluster_is_there(ctx: Context, key: str) -> None:
    """Wait until a worker can join: an API server answers and its founder is a member.

    Raises PhaseFailed when no control plane is on its way any more.
    """
    end: float | None = None
    while True:
        coming = ctx.run.batches.coming(key)
        now, time = await cluster_state(ctx), asyncio.get_running_loop().time()
        if now.live and now.founder is None:
            return
        if not coming:
            end = time + grace(ctx) if end is None else end
            if time >= end:
                raise _hopeless(ctx, now)
        await asyncio.sleep(ctx.run.limits.backoff)


def grace(ctx: Context) -> float:
    """How long an API server that has been there may be silent, in seconds."""
    return ctx.run.limits.grace * (4 if ctx.timing == "emulated" else 1)


def _hopeless(ctx: Context, now: ClusterState) -> PhaseFailed:
    dc, cluster = ctx.run.dc.name, ctx.host.cluster or ""
    if now.founder is not None:
        return PhaseFailed(
            f"{now.founder} has begun cluster {cluster} and not finished",
            where=ctx.host.name,
            why="a second beginning would be a second cluster",
            hint=f"bmk why {dc} {now.founder}, then bmk provision {dc} with {now.founder} in it",
        )
    names = ", ".join(h.name for h in ctx.run.dc.members(cluster, "control_plane"))
    return PhaseFailed(
        f"no API server of cluster {cluster} answers",
        where=ctx.host.name,
        why=f"control planes: {names}; none of them is on its way in this run",
        hint=f"bmk status {dc}",
    )
