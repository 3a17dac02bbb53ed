"""A plan as data: per host, the changes phase by phase, and what cannot be undone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Scope = Literal["host", "cluster", "datacenter"]  # what a phase works on at a time
SCHEMA = 2  # of plan files and of `bmk plan -o json`


@dataclass(frozen=True, slots=True)
class DiskChoice:
    """The disk that an install would wipe. `size` in bytes. Not inspected: `serial` is what the file names, if any.

    `identity` is what a confirmation calls it (`bmk.disks.names`); None: nothing names it yet. `foreign`: it holds what
    the ramdisk wipes only when that was confirmed.
    """

    selector: str
    inspected: bool
    serial: str | None = None
    identity: str | None = None
    name: str | None = None
    size: int | None = None
    holds: str = ""
    foreign: bool = False
    problem: str = ""  # why no single disk matches

    @property
    def content(self) -> str:
        """What is on it, in words."""
        if not self.inspected:
            return "not inspected yet"
        return self.problem or self.holds or "blank"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that a run would do to one host, and why.

    `disk` is set when the change wipes it. `confirm` says why a person must name this host (`--confirm HOST`).
    """

    phase: str
    kind: str
    text: str
    why: str
    disk: DiskChoice | None = None
    confirm: str = ""


@dataclass(frozen=True, slots=True)
class HostPlan:
    """The changes of one host, in the order of the phases. `trouble` are probes that failed while looking.

    `alone`: why this action leaves the host alone, and the command that ends that; empty when it does not.
    """

    host: str
    changes: tuple[Change, ...]
    trouble: tuple[str, ...] = ()
    alone: str = ""

    @property
    def confirm(self) -> str:
        """Why this host has to be confirmed by name; empty when it does not."""
        return next((c.confirm for c in self.changes if c.confirm), "")

    @property
    def phases(self) -> tuple[str, ...]:
        """Names of the phases that have something to do, each once."""
        return tuple(dict.fromkeys(c.phase for c in self.changes))


@dataclass(frozen=True, slots=True)
class ScopePlan:
    """The changes that one phase makes once for a whole cluster (or the data center)."""

    scope: Scope
    name: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All hosts that an action looked at, in the order of the file. `source_sha256`: of the data center as written."""

    dc: str
    action: str
    source_sha256: str
    hosts: tuple[HostPlan, ...]
    scoped: tuple[ScopePlan, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.pending and not self.scoped

    @property
    def pending(self) -> tuple[HostPlan, ...]:
        return tuple(h for h in self.hosts if h.changes)

    @property
    def unconfirmed(self) -> Mapping[str, str]:
        """Hosts that need `--confirm`, with the reason."""
        return {h.host: h.confirm for h in self.hosts if h.confirm}

    def as_dict(self) -> dict[str, Any]:
        """JSON shape of `bmk plan -o json` and of plan files."""
        return {"schema": SCHEMA, "digest": self.digest, **_plain(self)}

    @property
    def digest(self) -> str:
        """sha256 over everything that would be done: equal exactly when the same run would follow."""
        return hashlib.sha256(json.dumps(_plain(self), sort_keys=True).encode()).hexdigest()


def _plain(plan: Plan) -> dict[str, Any]:
    body = asdict(plan)
    for host in body["hosts"]:
        host.pop("trouble")  # what did not answer while looking is no part of what would be done
    return body
