"""Hosts of a plan that would change in the same way, as one. Pure; every host with changes is in exactly one group."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from bmk.datacenter.resolve import Host
from bmk.plan.model import HostPlan, Plan

K = TypeVar("K", bound=Hashable)
_WORD = re.compile(r"\w(?:[\w.:-]*\w)?")  # an address, a serial number or a name, without punctuation around it


@dataclass(frozen=True, slots=True)
class Step:
    """A change without what is only one host's: its name, addresses, serial number and disk are placeholders."""

    phase: str
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Groups:
    """What a plan says, each thing once, with the hosts that it is said of, in the order of the plan.

    `steps`: all changes of a host, one for one. `wipes`: what is on a disk that would be wiped. `confirm`: why a host
    must be named. `troubles`: what a probe said that failed.
    """

    steps: Mapping[tuple[Step, ...], tuple[str, ...]]
    wipes: Mapping[str, tuple[str, ...]]
    confirm: Mapping[str, tuple[str, ...]]
    troubles: Mapping[str, tuple[str, ...]]


def grouped(plan: Plan, hosts: Mapping[str, Host]) -> Groups:
    """The plan by what it says instead of by host. `hosts`: those of the data center, by name."""
    own = {h.host: _own_values(h, hosts[h.host]) for h in plan.hosts if h.changes or h.trouble}

    def general(host: HostPlan, text: str) -> str:
        return _general(text, own[host.host])

    def steps(host: HostPlan) -> tuple[Step, ...]:
        return tuple(Step(c.phase, general(host, c.text), general(host, c.why)) for c in host.changes)

    return Groups(
        steps=_by((steps(h), h.host) for h in plan.pending),
        wipes=_by((general(h, c.disk.content), h.host) for h in plan.pending for c in h.changes if c.disk),
        confirm=_by((general(h, h.confirm), h.host) for h in plan.hosts if h.confirm),
        troubles=_by((general(h, text), h.host) for h in plan.hosts for text in h.trouble),
    )


def _by(pairs: Iterable[tuple[K, str]]) -> dict[K, tuple[str, ...]]:
    found: dict[K, dict[str, None]] = {}
    for key, host in pairs:
        found.setdefault(key, {})[host] = None
    return {key: tuple(names) for key, names in found.items()}


def _own_values(plan: HostPlan, host: Host) -> dict[str, str]:
    """What texts about this host say of no other one, with the word that stands for it in a summary."""
    disks = {c.disk.identity: "DISK" for c in plan.changes if c.disk is not None and c.disk.identity}
    return {
        **disks,
        host.serial: "SERIAL",
        str(host.address): "ADDRESS",
        str(host.bmc_address): "ADDRESS",
        host.name: "HOST",
    }


def _general(text: str, own: Mapping[str, str]) -> str:
    if not any(value in text for value in own):  # most texts name nothing of one host, and this is quick
        return text
    return _WORD.sub(lambda word: own.get(word[0], word[0]), text)
