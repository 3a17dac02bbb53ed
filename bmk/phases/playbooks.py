"""How phases run playbooks: in batches, many hosts at once, one result for each."""

from __future__ import annotations

from collections.abc import Mapping

from bmk.engine.batches import Work
from bmk.engine.phase import Context
from bmk.engine.services import Converge, Converged
from bmk.errors import PhaseFailed


async def converge(ctx: Context, key: str, work: Work, seconds: float) -> Converged:
    """Join the batch `key` and return this host's result. `seconds` is the deadline of the batch, not of the wait
    for it.

    Raises PhaseFailed when this host's part failed, TimeoutError when the run took longer.
    """

    async with ctx.waiting(f"waits for its batch ({key})"):
        result: Converged = await ctx.run.batches.join(key, ctx.host.name, work, seconds)
    if not result.ok:
        raise failure(ctx, result)
    return result


def playbook(ctx: Context, name: str) -> Work:
    """A batch that is one run of a playbook, without further variables."""

    async def work(hosts: tuple[str, ...]) -> Mapping[str, Converged]:
        return await ctx.run.services.converge(Converge(ctx.phase, name, hosts), ctx.run.emit)

    return work


def failure(ctx: Context, result: Converged) -> PhaseFailed:
    """A failed converge of one host as an error that shows the last lines of what failed."""
    return PhaseFailed(
        f"Ansible: {result.failed_task or 'the run'} failed",
        where=ctx.host.name,
        why="\n".join(filter(None, (result.message, result.tail))),
        hint=f"bmk ssh {ctx.run.dc.name} {ctx.host.name} to look; when it is corrected, run the same command again",
    )
