"""What a BMC says of its machine: who it is, whether it is on, what boots next, what its event log gained. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from bmk.datacenter.resolve import Host
from bmk.drift.model import Attributes, Desired, Facts

_BAD = ("Critical", "Warning")


class Entry(Protocol):
    """What of an entry of the event log is needed."""

    @property
    def at(self) -> str: ...
    @property
    def severity(self) -> str: ...
    @property
    def text(self) -> str: ...


def bad_entries(log: Sequence[Entry]) -> list[str]:
    """Entries that tell of trouble. Named by all they say: order and clocks of BMCs are not to be trusted."""
    return sorted({f"{e.severity} event {e.at} {e.text}".strip() for e in log if e.severity in _BAD})


def desired_bmc(host: Host, known: Sequence[str]) -> Desired:
    """From the file; and no more bad entries than those that were `known` when the host was sealed first."""
    uuid: Attributes = {"uuid": host.uuid.lower()} if host.uuid else {}
    wanted: dict[str, Attributes] = {
        "identity": {"serial": host.serial, **uuid},
        "power": {"value": "on"},
        "boot": {"next": "disk"},
    }
    owners = dict.fromkeys((f"bmc:{name}" for name in wanted), "dc.yml")
    return Desired({"bmc": wanted}, ("bmc:* event *",), frozenset(f"bmc:{name}" for name in known), owners)


def bmc_facts(identity: Mapping[str, Any], power: str, boot: str, log: Sequence[Entry]) -> Facts:
    """`identity` as serial and uuid, `boot` as the override in the BMC's words."""
    found: dict[str, Attributes] = {
        "identity": {"serial": identity["serial"], "uuid": (identity["uuid"] or "").lower()},
        "power": {"value": power},
        "boot": {"next": boot or "disk"},
    }
    return {"bmc": found | {name: {} for name in bad_entries(log)}}
