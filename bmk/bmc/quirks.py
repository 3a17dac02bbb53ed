"""What models of BMC do differently, as data. Each row says where it was seen; a new model is one new row."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

ModeRule = Literal["when-different", "always", "never"]


@dataclass(frozen=True, slots=True)
class Quirk:
    """One row. `manufacturer` and `model` are patterns, searched without regard to case; an empty one matches all.
    Where nobody says who made a machine, `manufacturer` is compared with the id of its system.

    `mode`: when BootSourceOverrideMode is sent. `clear_target`: the target while the override is disabled.
    `serial_field`: where Redfish holds the serial that the machine's DMI tables say.
    `reports_boot_flags` False: an IPMI BMC that keeps only the boot device, so valid, once and EFI cannot be read back.
    """

    name: str
    seen: str
    manufacturer: str = ""
    model: str = ""
    mode: ModeRule = "when-different"
    clear_target: Literal["None", "Pxe"] = "None"
    serial_field: Literal["SerialNumber", "SKU"] = "SerialNumber"
    reports_boot_flags: bool = True

    def matches(self, manufacturer: str | None, model: str | None) -> bool:
        return _found(self.manufacturer, manufacturer) and _found(self.model, model)


# Sending the mode only when it differs is the rule for all: iDRAC 9 otherwise queues a BIOS configuration job, boots
# twice and loses the one-time boot (ironcore-dev/metal-operator#80, #81).
STANDARD = Quirk("standard", "")

QUIRKS: tuple[Quirk, ...] = (
    Quirk(
        "hpe-dl160-gen10",
        "rejects a request that carries the mode (bmc-toolbox/bmclib#318)",
        manufacturer=r"^hpe?\b|hewlett",
        model=r"DL160 Gen10",
        mode="never",
        clear_target="Pxe",
    ),
    Quirk(
        "hpe-ilo",
        "refuses to disable the override while the target is None (ironcore-dev/metal-operator#998)",
        manufacturer=r"^hpe?\b|hewlett",
        clear_target="Pxe",
    ),
    Quirk(
        "supermicro",
        "falls back to its default mode when a request does not carry one (DMTF/Redfishtool#106)",
        manufacturer=r"supermicro",
        mode="always",
    ),
    Quirk(
        "dell",
        "SerialNumber is the board's; DMI says the service tag, which is the SKU (PowerEdge with iDRAC 7 to 10; an"
        " iDRAC 8 may leave the maker blank, and is known by the id of its system)",
        manufacturer=r"^dell|^System\.Embedded\.",
        serial_field="SKU",
    ),
    Quirk(
        "openipmi-simulator",
        "keeps the boot device, drops the other boot flags (lanserv/bmc_chassis.c)",
        manufacturer=r"^OpenIPMI$",
        model=r"^ipmi_sim$",
        reports_boot_flags=False,
    ),
)


def quirk_of(manufacturer: str | None, model: str | None) -> Quirk:
    """The first row that matches, else STANDARD."""
    return next((q for q in QUIRKS if q.matches(manufacturer, model)), STANDARD)


def send_mode(rule: ModeRule, reported: str | None, wanted: str) -> bool:
    """Whether a request carries the mode. A BMC that reports none (Supermicro X10) refuses it: metal-operator#982."""
    if reported is None or rule == "never":
        return False
    return rule == "always" or reported != wanted


def _found(pattern: str, text: str | None) -> bool:
    return not pattern or re.search(pattern, text or "", re.IGNORECASE) is not None
