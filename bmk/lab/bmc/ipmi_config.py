"""Configuration of OpenIPMI's `ipmi_sim`, one for each machine of the lab. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmk.errors import ConfigError

Machine = Mapping[str, Any]
MAKER, MODEL = "OpenIPMI", "ipmi_sim"  # bmk/bmc/quirks.py knows what this one cannot report
FRU_SIZE = 256

LAN = """\
name "{name}"
set_working_mc 0x20
startlan 1
  addr {address} {port}
  priv_limit admin
  allowed_auths_callback none md2 md5 straight
  allowed_auths_user none md2 md5 straight
  allowed_auths_operator none md2 md5 straight
  allowed_auths_admin none md2 md5 straight
  guid {guid}
endlan
chassis_control "{chassis}"
user 2 true "{username}" "{password}" admin 10 none md2 md5 straight
sol "tcp:127.0.0.1:{console_port}" 115200
serial kcs 127.0.0.1 {kcs} codec VM
loadlib "{mailbox_library}" "{mailbox}"
"""

COMMANDS = """\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
mc_add_fru_data 0x20 0 {size} file 0 "{fru}"
mc_enable 0x20
"""


@dataclass(frozen=True, slots=True)
class Programs:
    """What a simulator works with: command that controls power, port of the console, the library with the mailbox."""

    chassis: str
    console_port: int
    mailbox: Path


def lan_conf(machine: Machine, login: tuple[str, str], programs: Programs) -> str:
    """`lan.conf`: holds the password, so it is written for the owner only."""
    username, password = login
    if len(username) > 16 or len(password) > 20 or '"' in username + password:
        raise ConfigError(
            f"IPMI cannot take the credentials of {machine['name']}",
            why="user names have at most 16 characters, passwords 20, neither a quotation mark",
            hint=f"shorten the secret {machine['bmc']['secret']}",
        )
    return LAN.format(
        name=machine["name"],
        address=machine["bmc"]["address"],
        port=machine["bmc"]["port"] or 623,
        guid=uuid.UUID(machine["uuid"]).bytes_le.hex(),
        chassis=programs.chassis,
        username=username,
        password=password,
        console_port=programs.console_port,
        kcs=machine["bmc"]["kcs"],
        mailbox_library=programs.mailbox,
        mailbox=machine["mailbox"],
    )


def commands(fru: str) -> str:
    """The start-up commands: one controller with an event log and the FRU file."""
    return COMMANDS.format(fru=fru, size=FRU_SIZE)


def mailbox_limit(machine: Machine) -> int:
    """How many bytes of each write to the mailbox the BMC stores; a block has 16."""
    limits = {"bmc-forgets-mailbox": 0, "bmc-truncates-mailbox": 8}
    return min((limit for fault, limit in limits.items() if fault in machine["faults"]), default=16)


def fru_data(machine: Machine) -> bytes:
    """The FRU inventory: manufacturer, model and serial. IPMI Platform Management FRU, product info area."""
    serial = "WRONG0001" if "bmc-wrong-serial" in machine["faults"] else machine["serial"]
    fields = b"".join(_field(text) for text in (MAKER, MODEL, "", "", serial, "", "")) + b"\xc1"
    area = bytes([1, 0, 25]) + fields
    area += bytes(-(len(area) + 1) % 8)
    area = _closed(bytes([1, (len(area) + 1) // 8]) + area[2:])
    header = _closed(bytes([1, 0, 0, 0, 1, 0, 0]))
    return (header + area).ljust(FRU_SIZE, b"\0")


def _field(text: str) -> bytes:
    return bytes([0xC0 | len(text)]) + text.encode("ascii")


def _closed(area: bytes) -> bytes:
    """With the checksum byte that makes the sum of all bytes zero."""
    return area + bytes([-sum(area) % 256])
