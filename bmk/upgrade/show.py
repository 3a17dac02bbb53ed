"""A plan of an upgrade for people: the way, the order, what is drained, and what blocks it with the next command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bmk.hostlist import compact
from bmk.upgrade.decide import UpgradePlan
from bmk.upgrade.model import Blocker

_LABEL = len("control planes")  # columns


def lines(dc: str, found: UpgradePlan, waves: Sequence[Sequence[str]], planes: Sequence[str]) -> Iterator[str]:
    """`waves`: workers that are away at the same time, in order; `planes`: control planes, in order."""
    if found.nothing:
        yield f"cluster {found.cluster}: has {found.have}, as the file says"
        return
    yield _head(found)
    drained = [name for name, host in found.hosts.items() if host.drains and host.pending]
    rows = [("control planes", f"one at a time: {', '.join(planes)}" if planes else "")]
    first, *others = [*waves, []] if waves else [[]]
    rows += [("canary", compact(first)), ("then", "; ".join(compact(wave) for wave in others if wave))]
    rows += [("drained", compact(drained)), ("in a later run", compact(found.later))]
    yield from (f"  {label:<{_LABEL}}  {text}" for label, text in rows if text)
    for blocker in found.blockers:
        yield from _blocker(dc, found.cluster, blocker)


def _head(found: UpgradePlan) -> str:
    if not found.target:
        return f"cluster {found.cluster}: no way from {found.have}"
    more = f"; then the same command goes on with {', '.join(found.steps[1:])}" if found.steps[1:] else ""
    aborted = "; aborted: only what has begun is finished" if found.aborted else ""
    return f"cluster {found.cluster}: {found.have} to {found.target}{more}{aborted}"


def _blocker(dc: str, cluster: str, blocker: Blocker) -> Iterator[str]:
    if blocker.accepted:
        yield f"  {'accepted':<{_LABEL}}  {blocker.text} ({blocker.accepted})"
        return
    yield f"  {'BLOCKED':<{_LABEL}}  {blocker.text}"
    yield f"  {'':<{_LABEL}}  whose: {blocker.owner}"
    yield f"  {'':<{_LABEL}}  next: {blocker.next}"
    if blocker.acceptable:
        yield f"  {'':<{_LABEL}}  or: bmk upgrade {dc} {cluster} --accept {blocker.kind}=REASON"
