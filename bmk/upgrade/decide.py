"""What the next run of an upgrade does to a cluster, and what keeps it from that. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bmk.upgrade.blockers import ACCEPTABLE, ALWAYS, OPERATOR, Question, blockers
from bmk.upgrade.model import Blocker, HostUpgrade, Stage, UpgradeEvidence, UpgradeMember
from bmk.upgrade.versions import NoWay, Version, path, version


@dataclass(frozen=True, slots=True)
class UpgradePlan:
    """The next step of a cluster. `steps`: versions on the way, of which this run does the first.

    `target`: that version; "": there is nothing to do, or no way. `hosts`: in order, those of this run; `later`: those
    of the next one; `left`: all that have to change before the step is done. `saves`: the file says where backups go.
    """

    cluster: str
    have: str
    target: str = ""
    steps: tuple[str, ...] = ()
    hosts: Mapping[str, HostUpgrade] = field(default_factory=dict)
    later: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    blockers: tuple[Blocker, ...] = ()
    aborted: bool = False
    saves: bool = False

    @property
    def blocked(self) -> tuple[Blocker, ...]:
        """Those that hold."""
        return tuple(b for b in self.blockers if b.holds)

    @property
    def nothing(self) -> bool:
        """The cluster is what the file says, and nothing of an upgrade is under way."""
        return not self.target and not self.blockers

    def as_dict(self) -> dict[str, Any]:
        """For `bmk upgrade --plan -o json`."""
        hosts = [
            {"host": name, "kubelet": h.kubelet, "api_server": h.api_server or None, "drains": h.drains and h.pending}
            for name, h in self.hosts.items()
        ]
        held = [{key: getattr(b, key) for key in _SHOWN} for b in self.blockers]
        whole = {"cluster": self.cluster, "have": self.have, "target": self.target or None, "steps": list(self.steps)}
        return {**whole, "hosts": hosts, "later": list(self.later), "aborted": self.aborted, "blockers": held}


def with_reasons(found: UpgradePlan, reasons: Mapping[str, str]) -> UpgradePlan:
    """With blockers that are accepted for the `reasons`, by kind.

    What does not block, or not any more, may be accepted all the same: the same command goes on. Raises KeyError for a
    kind that cannot be accepted.
    """
    if strange := sorted(reasons.keys() - set(ACCEPTABLE)):
        raise KeyError(strange[0])
    blockers = (replace(b, accepted=reasons.get(b.kind, b.accepted)) if b.acceptable else b for b in found.blockers)
    return replace(found, blockers=tuple(blockers))


_SHOWN = ("kind", "text", "owner", "next", "items", "acceptable", "accepted")


def decide(dc: str, seen: UpgradeEvidence, until: Stage = "all") -> UpgradePlan:
    """The next step. `until`: the stage after which this run ends. `dc` as it is written into commands."""
    have, standing = _have(seen), seen.standing
    aborted = standing is not None and standing.aborted
    try:
        steps = _steps(have, seen)
    except NoWay as error:
        hint = f"kubernetes.version of {seen.cluster} in dc.yml, and the lock (docs/artifacts.md)"
        none = Blocker("path", str(error), OPERATOR, hint, acceptable=False)
        return UpgradePlan(seen.cluster, seen.have, blockers=(none,), aborted=aborted)
    if not steps:
        return UpgradePlan(seen.cluster, seen.have)
    target, without = steps[0], standing.without if standing else frozenset()
    left = [m for m in _ordered(seen.members) if m.name not in without and needs(m, target)]
    chosen = [m for m in left if m.begun] if aborted else _until(left, seen.members, target, until)
    hosts = {m.name: _upgrade(m, target, seen.members) for m in chosen}
    found = blockers(Question(dc, seen, target, hosts), ALWAYS if aborted else None) if hosts else ()
    names = [m.name for m in left]
    return UpgradePlan(
        seen.cluster, seen.have, str(target), tuple(map(str, steps)), hosts,
        tuple(n for n in names if n not in hosts), tuple(names), found, aborted, seen.backups,
    )  # fmt: skip


def needs(member: UpgradeMember, target: Version) -> bool:
    """Whether something is still to be done to it before it is at this version and takes pods."""
    servers = [member.versions.api_server] if member.role == "control_plane" else []
    return member.begun or any(version(text) != target for text in (member.versions.kubelet, *servers))


def _have(seen: UpgradeEvidence) -> Version | None:
    """What is on record, else the oldest API server."""
    servers = [version(m.versions.api_server) for m in seen.members if m.versions.api_server]
    return version(seen.have) or min((v for v in servers if v is not None), default=None)


def _steps(have: Version | None, seen: UpgradeEvidence) -> list[Version]:
    """Raises NoWay. A step that was begun is gone to its end, whatever the file wants meanwhile."""
    want, standing = version(seen.wanted), seen.standing
    known = [v for v in map(version, seen.known) if v is not None]
    if have is None or want is None:
        raise NoWay(f"the cluster runs {seen.have or 'an unknown version'}, the file wants {seen.wanted}")
    begun = version(standing.target) if standing else None
    if begun is None:
        return path(have, want, known)
    if want < begun:
        raise NoWay(f"its upgrade to {begun} has begun, and Kubernetes cannot go back to {want}")
    return [begun, *path(begun, want, known)]


def _ordered(members: tuple[UpgradeMember, ...]) -> list[UpgradeMember]:
    """Control planes first, and of each role what was begun; then as in the file."""
    return sorted(members, key=lambda m: (m.role != "control_plane", not m.begun))


def _until(
    left: list[UpgradeMember], members: tuple[UpgradeMember, ...], target: Version, until: Stage
) -> list[UpgradeMember]:
    planes = [m for m in left if m.role == "control_plane"]
    workers = [m for m in left if m.role != "control_plane"]
    if until == "all":
        return [*planes, *workers]
    begun = [m for m in workers if m.begun]
    done = [m for m in members if m.role != "control_plane" and not needs(m, target)]
    canary = workers[:1] if until == "canary" and not begun and not done else []
    return [*planes, *begun, *canary]


def _upgrade(member: UpgradeMember, target: Version, members: tuple[UpgradeMember, ...]) -> HostUpgrade:
    """A kubelet is upgraded last, but for what comes after it; the only node keeps its pods."""
    seen = member.versions
    here = [seen.kubelet, *([seen.api_server] if member.role == "control_plane" else [])]
    return HostUpgrade(
        target=str(target),
        kubelet=seen.kubelet.removeprefix("v"),
        api_server=seen.api_server.removeprefix("v"),
        pending=any(version(text) != target for text in here),
        drains=any(m.versions.ready for m in members if m.name != member.name),
        begun=member.begun,
    )
