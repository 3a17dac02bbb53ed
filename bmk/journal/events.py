"""The one event type. Phases, the boot service, the ramdisk, Ansible and the lab all speak it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA = 1  # of the JSON lines; additions keep it, changes of meaning raise it

Source = Literal[
    "bmk",
    "bmc",
    "dhcp",
    "http",
    "agent",
    "console",
    "ssh",
    "ansible",
    "kubeadm",
    "cluster",
    "drift",
    "lab",
    "artifacts",
]
Level = Literal["debug", "info", "warning", "error"]
MACHINES: frozenset[Source] = frozenset(("agent", "console"))  # what these say is a machine's word, never bmk's


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a host (or, with host None, to the run).

    `at` is seconds since the epoch; `kind` is dotted and stable (`phase.started`, `image.progress`, `dhcp.discover`,
    `boot.answered`, `bmc.write`, `grant.opened`, `grant.spent`, `task.failed`); `text` is for people; `data` is JSON.
    `seq` is given by the journal: 0 until stored.
    """

    source: Source
    kind: str
    text: str
    host: str | None = None
    phase: str | None = None
    run: str | None = None
    level: Level = "info"
    data: Mapping[str, Any] = field(default_factory=dict)
    at: float = 0.0
    seq: int = 0
