"""What is known of one host right now: records of the journal and the answers of live probes, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

PowerState = Literal["on", "off", "unknown"]
SshState = Literal["ok", "silent", "wrong-key", "refused", "unknown"]
NodeState = Literal["ready", "not-ready", "absent", "unknown"]
Converged = Literal["current", "stale", "never"]
Policies = Literal["current", "stale", "unknown"]


@dataclass(frozen=True, slots=True)
class OpenGrant:
    """The open grant of a host, as far as planning needs it. `claimed`: a ramdisk has taken it and may be writing."""

    id: str
    attempt: int
    claimed: bool


@dataclass(frozen=True, slots=True)
class Drifted:
    """A difference that a drift run found and `bmk provision` puts right: by a converge, in the API, by the BMC."""

    text: str
    repair: Literal["converge", "api", "bmc"]
    kind: str = ""
    id: str = ""
    field: str = ""
    want: Any = None


@dataclass(frozen=True, slots=True)
class Actual:
    """The state of one host. Whatever was not asked or did not answer is None or "unknown", never guessed.

    `identity`, `inspection`, `installed`, `joined` and `ready` are journal records; `power`, `ssh` and `node` are live.
    `serving` False: its node is Ready, and its kubelet shows no certificate that the cluster signed.
    `policies` are those of its cluster. `suspect` is what a check found wrong on it since the last converge.
    `drift` is what was found since the last repair; `sealed`: what the last converge left was written down.
    `again`: it is to be installed anew, so what is known of its installation is left out.
    `trouble` says which probes failed and why, for people.
    """

    identity: Mapping[str, Any] | None = None
    inspection: Mapping[str, Any] | None = None
    installed: Mapping[str, Any] | None = None
    joined: Mapping[str, Any] | None = None
    ready: Mapping[str, Any] | None = None
    grant: OpenGrant | None = None
    power: PowerState = "unknown"
    ssh: SshState = "unknown"
    node: NodeState = "unknown"
    serving: bool = True
    converged: Converged = "never"
    policies: Policies = "unknown"
    suspect: tuple[str, ...] = ()
    drift: tuple[Drifted, ...] = ()
    baseline: bool = False
    again: bool = False
    trouble: tuple[str, ...] = ()
