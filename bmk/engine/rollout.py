"""How many members of a cluster a run may take away at a time, and when it stops.

Every disruption of a run passes here, whichever phase and playbook it belongs to. `permitted` and `quorum` are pure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bmk.datacenter.model import DataCenterSpec, RolloutSpec
from bmk.datacenter.resolve import Host
from bmk.errors import PhaseFailed

Asked = Mapping[str, Any]  # values of Rollout by field; what is not there was not said


@dataclass(frozen=True, slots=True)
class Rollout:
    """Bounds for members of a cluster. Control planes are never taken away but one at a time, whatever is allowed here.

    `max_unavailable`: members of the cluster that may be away at a time; `max_unavailable_rack`: of a rack, whatever
    their cluster (None: any number). `stop_after`: failures in the run, of any cluster, after which no further member
    is taken away. `pause_after`: members, of any cluster, after which the run ends; the same command goes on. `soak`:
    seconds that a member serves before the next one is taken away. `canary`: the first worker of a cluster in a run is
    taken away alone, and no other before it serves again.
    """

    max_unavailable: int = 1
    max_unavailable_rack: int | None = None
    stop_after: int = 1
    pause_after: int | None = None
    soak: float = 0.0
    canary: bool = False


def rollouts(spec: DataCenterSpec, action: Rollout, asked: Asked) -> dict[str, Rollout]:
    """The bounds of each cluster: what was `asked` for, else what the cluster says, `spec.rollout`, or the `action`."""
    return {
        name: replace(action, **{**_said(spec.rollout), **_said(cluster.rollout), **asked})
        for name, cluster in spec.clusters.items()
    }


def _said(spec: RolloutSpec) -> Asked:
    said: Asked = spec.model_dump(exclude_unset=True, exclude_none=True)
    return said


class NotBegun(PhaseFailed):
    """This host was not touched: the rollout stopped or paused before its turn."""

    code = "rollout"


@dataclass(slots=True)
class Away:
    """Members that are away because of this run or one before. `failed` of them do not come back in it.

    `begun` counts all so far; `proven`: clusters of which a worker has come back.
    """

    hosts: dict[str, Host] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    begun: int = 0
    proven: set[str | None] = field(default_factory=set)


def permitted(host: Host, away: Away, rollout: Rollout) -> Literal["now", "later", "stopped", "paused"]:
    """Whether this member may be taken away, besides those that are away already."""
    if len(away.failed) >= rollout.stop_after:
        return "stopped"
    if rollout.pause_after is not None and away.begun >= rollout.pause_after:
        return "paused"
    cluster = [h for h in away.hosts.values() if h.cluster == host.cluster]
    control_planes = [h for h in cluster if h.role == "control_plane"]
    rack = [h for h in away.hosts.values() if h.rack == host.rack]
    bounds = [(cluster, rollout.max_unavailable), (rack, rollout.max_unavailable_rack)]
    bounds += [(control_planes, 1)] if host.role == "control_plane" else []
    bounds += [(cluster, 1)] if rollout.canary and host.cluster not in away.proven else []
    full = [hosts for hosts, most in bounds if most is not None and len(hosts) >= most]
    if any(all(h.name in away.failed for h in hosts) for hosts in full):
        return "stopped"
    return "later" if full else "now"


def waves(hosts: Sequence[Host], rollout: Rollout) -> list[list[str]]:
    """Who would be away at the same time if all took equally long: what a plan shows of a rollout that never fails."""
    left, proven, found = list(hosts), set[str | None](), list[list[str]]()
    while left:
        away = Away(proven=proven)
        for host in left:
            if permitted(host, away, replace(rollout, pause_after=None)) == "now":
                away.hosts[host.name] = host
        found.append(list(away.hosts))
        proven |= {h.cluster for h in away.hosts.values() if h.role == "worker"}
        left = [h for h in left if h.name not in away.hosts]
    return found


Absence = Literal["restarted", "away", "removed"]  # for a moment, until a person says so (still a member), for good


def quorum(member: str, etcd: Mapping[str, bool], absence: Absence) -> bool:
    """Whether etcd goes on without this member. `etcd`: whether each member is healthy.

    Two members cannot do without one of them, and one not without itself: there a restart is a pause without writes.
    """
    healthy = {name for name, well in etcd.items() if well}
    others, total = len(healthy - {member}), len(etcd)
    if absence == "restarted":
        return member not in healthy or others >= min(total // 2 + 1, total - 1)
    if absence == "away":
        return others >= total // 2 + 1
    rest = total - (member in etcd)
    return len(healthy) >= total // 2 + 1 and others >= rest // 2 + 1


def whole(member: str, etcd: Mapping[str, bool], *, back: bool) -> bool:
    """Whether etcd is healthy at the end of the turn of this member, which is `back` or not expected to be."""
    others = all(well for name, well in etcd.items() if name != member)
    return others and (not back or etcd.get(member, False))


class Disruptions:
    """The turns of one run, in one event loop. Waiting hosts are served in the order in which they came."""

    def __init__(self, rollouts: Mapping[str, Rollout], away: Iterable[Host] = ()) -> None:
        """`rollouts`: by cluster. `away`: members that a run before took away; nobody takes their places."""
        self._rollouts, self._away = rollouts, Away({host.name: host for host in away})
        self._waiting: list[tuple[Host, asyncio.Future[None]]] = []

    def soak(self, host: Host) -> float:
        """Seconds that this member serves before its turn is over."""
        return self._of(host).soak

    def away(self) -> Collection[str]:
        """Names of members that are away now."""
        return tuple(self._away.hosts)

    async def begin(self, host: Host) -> None:
        """Wait until this member may be taken away. Raises NotBegun when that will not be in this run."""
        if host.name in self._away.hosts:
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((host, turn))
        self._decide()
        try:
            await turn
        except asyncio.CancelledError:
            self._forget(host, turn)
            raise

    def returned(self, host: Host) -> None:
        """It serves again."""
        if self._away.hosts.pop(host.name, None) is not None and host.role == "worker":
            self._away.proven.add(host.cluster)
        self._decide()

    def failed(self, host: Host) -> None:
        """It stays away for the rest of the run."""
        if host.name in self._away.hosts and host.name not in self._away.failed:
            self._away.failed.append(host.name)
            self._decide()

    def _forget(self, host: Host, turn: asyncio.Future[None]) -> None:
        """Cancelled while it waited, or in the moment when it got its turn."""
        self._waiting = [(h, t) for h, t in self._waiting if t is not turn]
        if turn.done() and not turn.cancelled() and turn.exception() is None:
            self._away.hosts.pop(host.name, None)
        self._decide()

    def _of(self, host: Host) -> Rollout:
        """A spare has no bounds, except that one is away at a time: it may still be a node of the cluster it was in."""
        return self._rollouts.get(host.cluster or "", Rollout())

    def _decide(self) -> None:
        left: list[tuple[Host, asyncio.Future[None]]] = []
        for host, turn in self._waiting:
            answer = permitted(host, self._away, self._of(host))
            if turn.done():
                continue
            if answer == "now":
                self._away.hosts[host.name] = host
                self._away.begun += 1
                turn.set_result(None)
            elif answer == "later":
                left.append((host, turn))
            else:
                turn.set_exception(self._not_begun(host, answer))
        self._waiting = left

    def _not_begun(self, host: Host, answer: Literal["stopped", "paused"]) -> NotBegun:
        if answer == "paused":
            why = f"the rollout pauses after {self._away.begun} hosts, as asked"
            return NotBegun(
                "not begun: the rollout is paused", where=host.name, why=why, hint="the same command goes on"
            )
        names = ", ".join(self._away.failed)
        return NotBegun(
            "not begun: the rollout stopped", where=host.name, why=f"failed and away: {names}",
            hint="mend what failed; the same command goes on",
        )  # fmt: skip
