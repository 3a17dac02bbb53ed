"""Documents of the lab's Redfish BMCs, and vendors' deviations, which the faults `quirk-...` switch on. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Machine = Mapping[str, Any]
Document = dict[str, Any]

REDFISH_TARGETS = {"pxe": "Pxe", "http": "UefiHttp", "disk": "Hdd"}
LAB_TARGETS = {"Pxe": "pxe", "UefiHttp": "http", "Hdd": "disk", "None": "disk"}
ENABLED = {"Once": "once", "Continuous": "continuous", "Disabled": "disabled"}


class Refused(Exception):
    """What a BMC answers with 400; `str()` is its message."""


@dataclass(frozen=True, slots=True)
class Personality:
    """Deviations of a vendor's BMCs. Each was seen on real ones: bmk/bmc/quirks.py names the reports."""

    manufacturer: str
    model: str
    knows_mode: bool = True  # reports BootSourceOverrideMode and takes it
    refuses_mode: bool = False  # reports it and refuses it in a request
    forgets_mode: bool = False  # a request without it goes back to Legacy and switches the override off
    loses_once_on_same_mode: bool = False  # a request that repeats the mode costs the one-time boot
    refuses_clear_to_none: bool = False
    serial_is_sku: bool = False
    settings_apart: bool = False  # the override is written to, and seen in, a resource of its own until the next reset


PLAIN = Personality("bmk lab", "virtual machine")
PERSONALITIES = {
    "quirk-supermicro-x10": Personality("Supermicro", "X10SRM-TF", knows_mode=False),
    "quirk-supermicro": Personality("Supermicro", "SYS-610C-TR", forgets_mode=True),
    "quirk-idrac9": Personality("Dell Inc.", "PowerEdge R660", loses_once_on_same_mode=True, serial_is_sku=True),
    "quirk-hpe-ilo": Personality("HPE", "ProLiant DL360 Gen11", refuses_clear_to_none=True),
    "quirk-ami": Personality("ASRockRack", "AMI MegaRAC", settings_apart=True),
    "quirk-hpe-dl160": Personality("HPE", "ProLiant DL160 Gen10", refuses_mode=True, refuses_clear_to_none=True),
}


def personality(machine: Machine) -> Personality:
    """The vendor whose quirk is switched on for this machine; PLAIN when none is."""
    return next((p for name, p in PERSONALITIES.items() if name in machine["faults"]), PLAIN)


def mode_of(machine: Machine) -> str:
    return "UEFI" if machine["firmware"] == "uefi" else "Legacy"


def boot_from_patch(boot: Mapping[str, Any], machine: Machine) -> tuple[str, str] | None:
    """What a PATCH of Boot asks of the machine: (target, enabled) in the lab's words; None: nothing comes of it."""
    who, mode = personality(machine), boot.get("BootSourceOverrideMode")
    enabled = ENABLED.get(boot.get("BootSourceOverrideEnabled", "Once"))
    target = LAB_TARGETS.get(boot.get("BootSourceOverrideTarget", "None"))
    if enabled is None or target is None:
        raise Refused("the value is not in the list of allowable values")
    _check(who, boot, mode, machine)
    if who.forgets_mode and mode is None:
        return "disk", "disabled"
    if who.loses_once_on_same_mode and mode == mode_of(machine):
        return None
    return target, enabled


def _check(who: Personality, boot: Mapping[str, Any], mode: str | None, machine: Machine) -> None:
    if mode is not None and (not who.knows_mode or who.refuses_mode):
        raise Refused("the property BootSourceOverrideMode is unknown or read only")
    if mode not in (None, mode_of(machine)):
        raise Refused(f"the machine's firmware is {mode_of(machine)}")
    if boot.get("BootSourceOverrideTarget") == "UefiHttp" and machine["firmware"] != "uefi":
        raise Refused("UefiHttp needs UEFI firmware")
    disabling = boot.get("BootSourceOverrideEnabled") == "Disabled"
    if who.refuses_clear_to_none and disabling and boot.get("BootSourceOverrideTarget") in (None, "None"):
        raise Refused("the override cannot be changed while its target is None")


def amend(template: str, document: Document, machine: Machine) -> Document:
    """A document of the emulator, with values of the lab's machine."""
    if template == "system.json":
        return {**document, **_system(machine, document)}
    if template == "drive.json":
        return {**document, **_drive(machine, str(document["Id"]))}
    return document


def _system(machine: Machine, document: Document) -> Document:
    who, path = personality(machine), document["@odata.id"]
    serial = "WRONG0001" if "bmc-wrong-serial" in machine["faults"] else machine["serial"]
    serials = {"SerialNumber": "CNBOARD0001", "SKU": serial} if who.serial_is_sku else {"SerialNumber": serial}
    return {
        "Manufacturer": who.manufacturer,
        "Model": who.model,
        **serials,
        "Boot": _boot(_in_force(machine, who), who),
        **({"@Redfish.Settings": {"SettingsObject": {"@odata.id": f"{path}/SD"}}} if who.settings_apart else {}),
        "LogServices": {"@odata.id": f"{path}/LogServices"},
        "Oem": {"Bmk": {"SerialConsole": {"@odata.id": f"{path}/Oem/Bmk/SerialConsole"}}},
    }


def settings(machine: Machine) -> Document:
    """The resource with the settings for the next reset."""
    return {"Boot": _boot(machine, personality(machine))}


def _in_force(machine: Machine, who: Personality) -> Machine:
    return {**machine, "boot": {"target": "disk", "enabled": "disabled"}} if who.settings_apart else machine


def _boot(machine: Machine, who: Personality) -> Document:
    uefi = machine["firmware"] == "uefi"
    enabled = {lab: redfish for redfish, lab in ENABLED.items()}[machine["boot"]["enabled"]]
    target = "None" if enabled == "Disabled" else REDFISH_TARGETS[machine["boot"]["target"]]
    return {
        "BootSourceOverrideEnabled": enabled,
        "BootSourceOverrideTarget": target,
        "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe", "Hdd", *(["UefiHttp"] if uefi else [])],
        **({"BootSourceOverrideMode": mode_of(machine)} if who.knows_mode else {}),
    }


def drives(machine: Machine) -> list[Document]:
    """What the emulator's drive template needs, one for each disk."""
    return [
        {"Id": str(n), "Name": d["name"], "CapacityBytes": d["size"], "Protocol": "SATA"}
        for n, d in enumerate(machine["disks"], start=1)
    ]


def _drive(machine: Machine, identity: str) -> Document:
    disk = machine["disks"][int(identity) - 1]
    wwn = disk.get("wwn")
    return {
        "SerialNumber": disk["serial"],
        "Model": "bmk lab disk",
        "MediaType": "HDD" if disk.get("rotational") else "SSD",
        "RotationSpeedRPM": 7200 if disk.get("rotational") else 0,
        "Identifiers": [{"DurableNameFormat": "NAA", "DurableName": wwn}] if wwn else [],
    }
