"""A data center as commands use it: loaded, journal open, services at hand, and, for a lab, from inside of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bmk.artifacts.build import ensure_mirror
from bmk.datacenter.hosts import host_timing, select_hosts
from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import DataCenter, Host, kubernetes_versions, with_versions
from bmk.datacenter.source import lock_path
from bmk.datacenter.state import claim, open_journal
from bmk.engine.action import Action
from bmk.engine.run import Timing
from bmk.engine.session import RunSetup, new_run_id
from bmk.journal import Journal
from bmk.journal.left_alone import LeftAlone, left_alone
from bmk.lab.host.netns import ensure_inside, is_inside, is_lab
from bmk.lab.host.preflight import preflight
from bmk.lab.lifecycle import Print, bring_up
from bmk.live.cluster_guard import refused
from bmk.live.observe import observe
from bmk.live.services import LiveServices
from bmk.plan import Plan, build_plan
from bmk.plan.actual import Observation
from bmk.plan.guards import Refusal
from bmk.ssh import deployer_key

Look = Callable[[Observation], Observation]  # adds to what was seen of hosts and clusters


@dataclass(frozen=True, slots=True)
class Workspace:
    """One data center, ready to be asked and worked on."""

    dc: DataCenter
    journal: Journal
    services: LiveServices
    timing: Mapping[str, Timing]
    run_id: str

    def at(self, versions: Mapping[str, str]) -> Workspace:
        """The same with other versions of Kubernetes than the file has, by cluster: a step on the way to those."""
        if all(self.dc.cluster(name).kubernetes.version == version for name, version in versions.items()):
            return self
        dc = with_versions(self.dc, versions)
        return replace(self, dc=dc, services=LiveServices(dc, self.journal, self.timing, self.services.run_dir))

    def allowed(self, hosts: Sequence[Host], brings: Collection[str] = ()) -> tuple[list[Host], list[Refusal]]:
        """Those of these hosts that an action may change, and why the clusters of the others cannot be.

        `brings`: as an `Action` says it.
        """
        found = refused(self.dc, self.journal, self.services, hosts, brings)
        alone = {one.cluster for one in found}
        return [host for host in hosts if host.cluster not in alone], found

    def attended(self, hosts: Sequence[Host]) -> tuple[list[Host], dict[str, LeftAlone]]:
        """Those of these hosts that are to be looked at, and why the others are left alone, by name."""
        alone = left_alone(self.journal, self.dc.name)
        return [h for h in hosts if h.name not in alone], {h.name: alone[h.name] for h in hosts if h.name in alone}

    def plan(self, hosts: Sequence[Host], action: Action, look: Look | None = None) -> tuple[Plan, Observation]:
        """Look at these hosts and say what an action would change. `look`: what only this action has to know."""
        names = [h.name for h in hosts]
        seen = observe(self.dc, self.journal, self.services, names)
        seen = seen if look is None else look(seen)
        return build_plan(self.dc, action, names, seen), seen

    @property
    def setup(self) -> RunSetup:
        """For a run of an action on it."""
        return RunSetup(self.run_id, self.dc, self.services, self.journal)

    def select(self, limit: Sequence[str], names: Sequence[str] = ()) -> tuple[Host, ...]:
        return select_hosts(self.dc, names, limit)


def open_workspace(ref: str) -> Workspace:
    """Open a data center. For a lab this command goes on inside of it; Unreachable when the lab is not up."""
    return enter(load_datacenter(ref))


def enter(dc: DataCenter) -> Workspace:
    """Open a data center that is loaded already. For a lab this command begins anew inside of it."""
    ensure_inside(dc)
    return _workspace(dc)


def open_and_start(ref: str, say: Print) -> Workspace:
    """The same, and what it takes is made first: the mirror as the lock has it, and a lab that is not up."""
    dc = load_datacenter(ref)
    claim(dc)
    if is_inside(dc.name):
        return _workspace(dc)
    preflight(dc)  # at once, not after minutes of building
    deployer_key(dc.state)
    ensure_mirror(lock_path(dc.source, dc.spec.artifacts), say, kubernetes_versions(dc))
    if is_lab(dc):
        bring_up(dc, ref, say)
        ensure_inside(dc)
    return _workspace(dc)


def _workspace(dc: DataCenter) -> Workspace:
    claim(dc)
    journal, run_id, times = open_journal(dc), new_run_id(), timing(dc)
    return Workspace(dc, journal, LiveServices(dc, journal, times, dc.state / "runs" / run_id), times, run_id)


def timing(dc: DataCenter) -> dict[str, Timing]:
    """How patient to be with each host: as the file says; `auto` means emulated for virtual machines without KVM."""
    return dict(host_timing(dc, _probed(dc.state)))


def _probed(state: Path) -> Timing:
    try:
        found = json.loads((state / "lab" / "facts.json").read_text())["timing"]
    except (OSError, ValueError, KeyError):
        return "standard"
    return "emulated" if found == "emulated" else "standard"
