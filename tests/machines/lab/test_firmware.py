"""Boot order, identity and consoles of virtual machines, as real firmware does them."""

from __future__ import annotations

import socket

import pytest

from bmk.lab.host.sockets import short_path

from .conftest import Room, eventually

pytestmark = pytest.mark.machines

ASKED = "nothing to install now"  # what iPXE prints of the boot service's answer
DISK = "Booting from Hard Disk"  # SeaBIOS
FAILED = "Boot failed: not a bootable disk"  # the same


def test_once_means_once(room: Room) -> None:
    """A machine told to boot once by PXE does so at power on; after a reset it starts from disk and asks nobody."""
    room.ask("boot", "old", target="pxe", enabled="once")
    room.ask("power", "old", action="on")
    room.hears("old", ASKED)
    assert room.show("old")["boot"]["enabled"] == "disabled"
    room.hears("old", FAILED)  # to its end: a reset cuts off what is being said
    room.ask("power", "old", action="reset")
    room.hears("old", FAILED, times=2)
    assert room.console("old").count(ASKED) == 1


def test_an_override_while_it_runs_counts_for_the_next_reset(room: Room) -> None:
    """Set on a running machine, the override is taken by the very next reset, and by that one only."""
    room.ask("power", "old", action="on")
    room.hears("old", "No bootable device")
    assert ASKED not in room.console("old")
    room.ask("boot", "old", target="pxe", enabled="once")
    room.ask("power", "old", action="reset")
    room.hears("old", ASKED)
    eventually(lambda: room.show("old")["boot"]["enabled"] == "disabled", 10)


def test_uefi_boots_from_the_network_too(room: Room) -> None:
    """OVMF finds the NIC by the boot order, loads iPXE and reaches the boot service, which knows the machine."""
    room.ask("boot", "new", target="pxe", enabled="once")
    room.ask("power", "new", action="on")
    room.hears("new", "bmk: new: " + ASKED)


def test_the_firmware_shows_the_identity_of_the_file(room: Room) -> None:
    """The UUID that the firmware prints is that of the data center file's machine."""
    room.ask("power", "old", action="on")
    room.hears("old", f"Machine UUID {room.show('old')['uuid']}")


def test_a_pulled_cable_means_no_dhcp(room: Room) -> None:
    """With the fault no-dhcp the machine never asks the network anything, and boots its disk."""
    room.ask("fault", "old", fault="no-dhcp", on=True)
    room.ask("boot", "old", target="pxe", enabled="once")
    room.ask("power", "old", action="on")
    room.hears("old", DISK)
    assert ASKED not in room.console("old")


def test_the_console_can_be_watched(room: Room) -> None:
    """Whoever connects to a machine's console sees what it says, while the file keeps it too."""
    room.ask("power", "old", action="on")
    with socket.socket(socket.AF_UNIX) as console:
        with short_path(room.directory / "machines/old/console.sock") as path:
            console.connect(path)
        console.settimeout(120)
        seen = b""
        while b"SeaBIOS" not in seen:
            seen += console.recv(4096)
    room.hears("old", "SeaBIOS")


def test_power_off_ends_the_machine(room: Room) -> None:
    """Off is off at once, twice is fine, and the machine can be switched on again."""
    for _ in range(2):
        room.ask("power", "old", action="on")
        assert room.show("old")["power"] == "on"
        assert room.ask("power", "old", action="off")["power"] == "off"
        assert room.ask("power", "old", action="off")["power"] == "off"
