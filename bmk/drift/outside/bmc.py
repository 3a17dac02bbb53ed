"""What a BMC says of its machine: identity, power, the next boot, new entries of its event log. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from bmk.datacenter.resolve import Host
from bmk.drift.kind import Kind, Rule
from bmk.drift.model import Attributes, Desired, Difference, Facts, Repair

_BAD = ("Critical", "Warning")
_EVENT = "bmk why {dc} {where}; when the machine is seen to, clear the event log of its BMC"
_SINCE = "logged by the BMC after the baseline was signed"


def _override(difference: Difference, _: Desired) -> Repair:
    """A boot override is taken back at the BMC; all else needs a human decision."""
    return "bmc" if difference.id == "boot" else ""


BMC = Kind(
    name="bmc",
    closed=("* event *",),
    repair=_override,
    next="bmk power status {dc} {where}",
    rules=(
        Rule("identity*", "*", "security", "another machine than the file describes"),
        Rule("Critical event *", "*", "breaking", _SINCE, _EVENT),
        Rule("Warning event *", "*", "degraded", _SINCE, _EVENT),
        Rule("boot*", "*", "degraded", "the next boot goes elsewhere"),
        Rule("*", "*", "degraded"),
    ),
)


class Entry(Protocol):
    """An entry of the event log, as far as it is needed here."""

    @property
    def at(self) -> str: ...
    @property
    def severity(self) -> str: ...
    @property
    def text(self) -> str: ...


def bad_entries(log: Sequence[Entry]) -> list[str]:
    """Entries of faults, by severity, time and text: neither the order nor the clock of a BMC is reliable."""
    return sorted({f"{e.severity} event {e.at} {e.text}".strip() for e in log if e.severity in _BAD})


def desired_bmc(host: Host, known: Sequence[str]) -> Desired:
    """From the file; and no bad entries but those that were `known` when the first baseline was signed."""
    uuid: Attributes = {"uuid": host.uuid.lower()} if host.uuid else {}
    wanted: dict[str, Attributes] = {
        "identity": {"serial": host.serial, **uuid},
        "power": {"value": "on"},
        "boot": {"next": "disk"},
    }
    owners = dict.fromkeys((f"bmc:{name}" for name in wanted), "dc.yml")
    return Desired({"bmc": wanted}, BMC.owned, frozenset(f"bmc:{name}" for name in known), owners)


def bmc_facts(identity: Mapping[str, Any], power: str, boot: str, log: Sequence[Entry]) -> Facts:
    """`identity` as serial and uuid, `boot` as the override in the BMC's words."""
    found: dict[str, Attributes] = {
        "identity": {"serial": identity["serial"], "uuid": (identity["uuid"] or "").lower()},
        "power": {"value": power},
        "boot": {"next": boot or "disk"},
    }
    return {"bmc": found | {name: {} for name in bad_entries(log)}}
