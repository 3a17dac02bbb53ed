"""A plan for people: per host what would change and why; disks that would be wiped by serial, and what is on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bmk.plan.model import Change, DiskChoice, HostPlan, Plan

_PHASE = len("admission_policies")  # columns: the longest name of a phase


def lines(plan: Plan, exceptions: Iterable[object] = (), notes: Iterable[str] = ()) -> Iterator[str]:
    """The plan as plain lines; the last one sums up. `exceptions`: what a person should know of these hosts anyway.

    `notes`: what else follows from the file for those that would change.
    """
    for host in plan.hosts:
        yield from _host(host)
    yield from (f"exception: {one}" for one in exceptions)
    yield from notes
    yield summary(plan)


def summary(plan: Plan) -> str:
    """One line: how many hosts would change, how many disks would be wiped."""
    if not plan.pending:
        return f"{plan.dc}: no changes; {_count(len(plan.hosts), 'host')} as the file says"
    wipes = sum(1 for h in plan.pending for c in h.changes if c.disk is not None)
    same = len(plan.hosts) - len(plan.pending)
    return (
        f"{plan.dc}: {_count(len(plan.pending), 'host')} to change, {_count(wipes, 'disk')} to wipe, {same} unchanged"
    )


def _host(plan: HostPlan) -> Iterator[str]:
    if not plan.changes and not plan.trouble:
        return
    yield plan.host
    for change in plan.changes:
        yield f"  {change.phase:<{_PHASE}} {change.text}  ({change.why})"
        yield from _wipe(change, plan.host)
    for trouble in plan.trouble:
        yield f"  could not look: {trouble}"


def _wipe(change: Change, host: str) -> Iterator[str]:
    if change.disk is not None:
        yield f"  {'':<{_PHASE}} wipes {_disk(change.disk)}: {change.disk.content}"
    if change.confirm:
        yield f"  {'':<{_PHASE}} needs --confirm {host}: {change.confirm}"


def _disk(disk: DiskChoice) -> str:
    if not disk.identity:
        return f"the disk that matches {disk.selector}"
    where = ", ".join(filter(None, (disk.name, f"{disk.size / 1e9:.1f} GB" if disk.size else None)))
    return f"disk {disk.identity}" + (f" ({where})" if where else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
