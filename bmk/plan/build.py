"""Builds a plan: asks every phase of an action about every host. Phases come from above, so that this stays pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from bmk.datacenter.resolve import DataCenter, Host
from bmk.plan.actual import Actual
from bmk.plan.model import Change, HostPlan, Plan


class Planner(Protocol):
    """The pure half of a phase."""

    def plan(self, host: Host, actual: Actual) -> list[Change]: ...


def build_plan(
    dc: DataCenter, action: str, phases: Sequence[Planner], hosts: Iterable[str], actuals: Mapping[str, Actual]
) -> Plan:
    """What `action` would do to `hosts`. The answer does not depend on the order of `hosts`."""
    wanted = set(hosts)
    plans = tuple(_host_plan(h, actuals.get(h.name, Actual()), phases) for h in dc.hosts.values() if h.name in wanted)
    return Plan(dc=dc.name, action=action, source_sha256=fingerprint(dc), hosts=plans)


def fingerprint(dc: DataCenter) -> str:
    """sha256 of the data center as resolved: the file, and what addresses.yml gave to each host.

    Two that say the same have the same fingerprint, however they are written.
    """
    hosts = {h.name: (str(h.address), str(h.bmc_address), str(h.pods)) for h in dc.hosts.values()}
    text = dc.spec.model_dump_json() + json.dumps(hosts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _host_plan(host: Host, actual: Actual, phases: Sequence[Planner]) -> HostPlan:
    changes = tuple(change for phase in phases for change in phase.plan(host, actual))
    return HostPlan(host=host.name, changes=changes, trouble=actual.trouble)
