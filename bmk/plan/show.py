"""A plan for people: what would change and why; disks that would be wiped, and what is on them.

A few hosts are shown one by one. Many are grouped by what would change, because what two thousand hosts have in common
cannot be seen in two thousand lists; wipes, confirmations and failed probes then name every host.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping

from bmk.datacenter.resolve import Host
from bmk.hostlist import compact
from bmk.plan.groups import grouped
from bmk.plan.model import Change, DiskChoice, HostPlan, Plan, ScopePlan

_PHASE = len("admission_policies")  # columns: the longest name of a phase
_FEW = 10  # hosts that are shown one by one; more do not fit on a screen
_WIDTH = 110  # columns of a list of hosts


def lines(
    plan: Plan,
    hosts: Mapping[str, Host],
    exceptions: Iterable[object] = (),
    notes: Iterable[str] = (),
    *,
    verbose: bool = False,
) -> Iterator[str]:
    """The plan as plain lines; the last one sums up. `hosts`: those of the data center, by name.

    `exceptions`: what a person should know of these hosts anyway; `notes`: what else follows from the file for those
    that would change. `verbose`: each host by itself, however many they are.
    """
    shown = [host for host in plan.hosts if host.changes or host.trouble]
    alone = [f"{host.host}: left alone, {host.alone}" for host in plan.hosts if host.alone]
    if verbose or len(shown) <= _FEW:
        for host in shown:
            yield from _host(host)
    else:
        yield from (summary(plan), *_groups(plan, hosts), f"each host by itself: bmk plan {plan.dc} --verbose")
    for scope in plan.scoped:
        yield from _scoped(scope)
    yield from (f"exception: {one}" for one in exceptions)
    yield from alone
    yield from notes
    yield summary(plan)


def summary(plan: Plan) -> str:
    """One line: how many hosts would change, how many disks would be wiped, how many need a confirmation."""
    alone = sum(1 for h in plan.hosts if h.alone)
    left = f", {alone} left alone" if alone else ""
    if plan.empty:
        return f"{plan.dc}: no changes; {_count(len(plan.hosts) - alone, 'host')} as the file says{left}"
    wipes = sum(1 for h in plan.pending for c in h.changes if c.disk is not None)
    same = len(plan.hosts) - len(plan.pending) - alone
    change, wipe = _count(len(plan.pending), "host"), _count(wipes, "disk")
    return f"{plan.dc}: {change} to change, {wipe} to wipe, {same} unchanged{left}"


def _scoped(plan: ScopePlan) -> Iterator[str]:
    yield f"{plan.scope} {plan.name}"
    for change in plan.changes:
        yield f"  {change.phase:<{_PHASE}} {change.text}  ({change.why})"


def _host(plan: HostPlan) -> Iterator[str]:
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


def _groups(plan: Plan, hosts: Mapping[str, Host]) -> Iterator[str]:
    """What would change, by group; then what a person decides on, with the names of all hosts that it is about."""
    found = grouped(plan, hosts)
    for steps, names in found.steps.items():
        yield from _wrapped(f"{_count(len(names), 'host')}: {compact(names)}", "")
        yield from (f"  {step.phase:<{_PHASE}} {step.text}  ({step.why})" for step in steps)
    yield from _section("disks to wipe, by what is on them", found.wipes)
    yield from _section("hosts that need --confirm HOST, by reason", found.confirm)
    yield from _section("could not look", found.troubles)


def _section(title: str, texts: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    if texts:
        yield f"{title}:"
    for text, names in texts.items():
        yield f"  {text} ({_count(len(names), 'host')})"
        yield from _wrapped(compact(names), "    ")


def _wrapped(text: str, indent: str) -> list[str]:
    """On lines of a bearable length; ranges and names are never broken within."""
    glued = text.replace(" … ", "\0…\0")  # no place for a line break
    broken = textwrap.wrap(
        glued,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_on_hyphens=False,
        break_long_words=False,
    )
    return [line.replace("\0", " ") for line in broken]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
