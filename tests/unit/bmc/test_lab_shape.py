"""The lab's BMCs refuse and forget as the real ones do; FRU data is what the standard says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bmk.errors import ConfigError
from bmk.lab.bmc.ipmi_config import FRU_SIZE, Programs, fru_data, lan_conf
from bmk.lab.bmc.redfish_shape import Refused, amend, boot_from_patch

ONCE = {"BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": "Pxe"}
UEFI = {"BootSourceOverrideMode": "UEFI"}


def machine(*faults: str, firmware: str = "uefi") -> dict[str, Any]:
    return {
        "name": "cp-1",
        "uuid": "6d2f6b1e-8f2f-4f6a-9c55-0b6d0a770001",
        "serial": "LAB0001",
        "firmware": firmware,
        "boot": {"target": "disk", "enabled": "disabled"},
        "bmc": {"address": "10.78.0.11", "port": 623, "secret": "bmc/lab"},
        "faults": dict.fromkeys(faults, True),
    }


@pytest.mark.parametrize(
    ("fault", "patch", "result"),
    [
        ("", ONCE | UEFI, ("pxe", "once")),
        ("quirk-supermicro-x10", ONCE, ("pxe", "once")),
        ("quirk-supermicro", ONCE, ("disk", "disabled")),
        ("quirk-supermicro", ONCE | UEFI, ("pxe", "once")),
        ("quirk-idrac9", ONCE | UEFI, None),
        ("quirk-idrac9", ONCE, ("pxe", "once")),
    ],
)
def test_vendors_take_the_override_their_way(fault: str, patch: dict[str, str], result: tuple[str, str] | None) -> None:
    """Each habit of the quirk table can be met in the lab."""
    assert boot_from_patch(patch, machine(fault)) == result


@pytest.mark.parametrize(
    ("fault", "patch"),
    [
        ("quirk-supermicro-x10", ONCE | UEFI),
        ("quirk-hpe-dl160", ONCE | UEFI),
        ("quirk-hpe-ilo", {"BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideTarget": "None"}),
        ("", ONCE | {"BootSourceOverrideMode": "Legacy"}),
        ("", ONCE | {"BootSourceOverrideTarget": "Floppy"}),
    ],
)
def test_vendors_refuse_what_they_do_not_know(fault: str, patch: dict[str, str]) -> None:
    """A request that the real BMC answers with 400 is answered so here."""
    with pytest.raises(Refused):
        boot_from_patch(patch, machine(fault))


def test_a_cleared_override_is_shown_as_none() -> None:
    """Clients read back Disabled and None, as from a BMC after the boot."""
    shown = amend("system.json", {"@odata.id": "/redfish/v1/Systems/1"}, machine())
    assert shown["Boot"]["BootSourceOverrideEnabled"] == "Disabled"
    assert shown["Boot"]["BootSourceOverrideTarget"] == "None"
    assert shown["SerialNumber"] == "LAB0001"


def test_fru_data_closes_with_its_checksums() -> None:
    """Header and product area sum to zero modulo 256 and hold the serial."""
    data = fru_data(machine())
    length = data[9] * 8
    assert len(data) == FRU_SIZE
    assert sum(data[:8]) % 256 == 0
    assert sum(data[8 : 8 + length]) % 256 == 0
    assert b"LAB0001" in data
    assert b"WRONG" in fru_data(machine("bmc-wrong-serial"))


def test_credentials_that_ipmi_cannot_take_are_refused() -> None:
    """Twenty characters are IPMI's limit; longer would be cut off in silence."""
    with pytest.raises(ConfigError, match="IPMI cannot take"):
        lan_conf(machine(), ("root", "x" * 21), Programs("true", 1, Path("mailbox.so")))
