"""RedfishBmc against the lab's real emulator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bmk.bmc import Access, Bmc, Timeouts, Trust, open_bmc
from bmk.errors import BmcError, BmcIgnores, ConfigError
from bmk.journal.events import Event
from bmk.secrets import Credentials, Secret

pytestmark = pytest.mark.services
USER, PASSWORD = "operator", "right-horse-battery"
FAST = Timeouts(connect=3, request=20, patience=20, first_pause=0.2, longest_pause=1, settle=1.5, poll=0.1)


@pytest.fixture
def events() -> list[Event]:
    return []


Connect = Callable[..., Bmc]


@pytest.fixture
def bmc(redfish: Any, events: list[Event]) -> Connect:
    def connect(name: str = "cp-1", password: str = PASSWORD, trust: Trust | None = None, **timing: float) -> Bmc:
        plate = redfish[name]["bmc"]
        whom = trust or Trust(authorities=redfish.state / "lab" / "bmc.pem")
        seconds = Timeouts(**{**{f: getattr(FAST, f) for f in FAST.__slots__}, **timing})
        return open_bmc(
            "redfish",
            Access(
                plate["address"], None, Credentials(USER, Secret(password)), whom, notify=events.append, timing=seconds
            ),
        )

    return connect


def test_identity_comes_from_the_machine_behind_the_address(redfish: Any, bmc: Connect) -> None:
    """Each BMC address tells of its own machine: UUID, serial and MACs."""
    for name in ("cp-1", "cp-2"):
        identity = bmc(name).identity()
        known = redfish[name]
        assert (identity.uuid, identity.serial, identity.macs) == (known["uuid"], known["serial"], tuple(known["macs"]))


def test_the_emulator_keeps_what_it_has_to_itself(redfish: Any, bmc: Connect) -> None:
    """In the lab's directory: in /tmp the labs of all users had one file, and only the first user's lab had BMCs."""
    bmc().power()
    assert (redfish.state / "lab/redfish/indicators.sqlite").exists()


def test_inventory_lists_disks_by_serial(bmc: Connect) -> None:
    """Disks come with the serial by which a disk is chosen, sizes in bytes."""
    inventory = bmc().inventory()
    assert [(d.serial, d.size, d.rotational) for d in inventory.disks] == [("LABDISK0011", 12 * 2**30, False)]
    assert (inventory.cpus, inventory.memory) == (2, 3 * 2**30)


def test_power_is_switched_and_read_back(redfish: Any, bmc: Connect, events: list[Event]) -> None:
    """On, cycle and off end in the state that was asked for, and each is an event."""
    machine = bmc()
    assert machine.power() == "off"
    machine.set_power("on")
    assert redfish["cp-1"]["power"] == "on"
    machine.set_power("cycle")
    assert machine.power() == "on"
    machine.set_power("off")
    assert redfish["cp-1"]["power"] == "off"
    assert [e.data["power"] for e in events] == ["on", "off", "on", "off"]


@pytest.mark.parametrize(("action", "ends"), [("shutdown", "off"), ("ask-off", "off"), ("restart", "on")])
def test_a_system_is_asked_to_end(redfish: Any, bmc: Connect, events: list[Event], action: Any, ends: str) -> None:
    """The graceful orders press the power button, and are done when the end was read."""
    machine = bmc()
    machine.set_power("on")
    events.clear()
    machine.set_power(action)
    assert (redfish["cp-1"]["power"], machine.power()) == (ends, ends)
    assert "cp-1: power press" in Path(redfish["cp-1"]["console"]).read_text()
    assert events[0].text == "shut down, power off, read back"


@pytest.mark.parametrize(("action", "ends"), [("shutdown", "off"), ("restart", "on")])
def test_a_system_that_hangs_is_switched_off(
    redfish: Any, bmc: Connect, events: list[Event], action: Any, ends: str
) -> None:
    """Who does not shut down in time loses power, and an event says so."""
    machine = bmc(shutdown=1)
    machine.set_power("on")
    redfish.break_("cp-1", "system-hangs")
    machine.set_power(action)
    assert redfish["cp-1"]["power"] == ends
    assert ["did not shut down in 1 s" in e.text for e in events if e.kind == "bmc.forced"] == [True]


def test_a_system_that_hangs_keeps_its_power_when_it_is_only_asked(redfish: Any, bmc: Connect) -> None:
    """Nothing is cut, and the error says so."""
    machine = bmc(shutdown=1)
    machine.set_power("on")
    redfish.break_("cp-1", "system-hangs")
    with pytest.raises(BmcIgnores, match="its power was not cut"):
        machine.set_power("ask-off")
    assert redfish["cp-1"]["power"] == "on"


@pytest.mark.parametrize(
    ("name", "firmware", "target"), [("cp-1", "uefi", "pxe"), ("cp-1", "uefi", "http"), ("cp-2", "bios", "pxe")]
)
def test_boot_once_holds_for_one_boot(redfish: Any, bmc: Connect, name: str, firmware: Any, target: Any) -> None:
    """The override is for the next boot only, is read back, and the boot after that is from disk."""
    machine = bmc(name)
    machine.set_boot_once(target, firmware)
    assert redfish[name]["boot"] == {"target": target, "enabled": "once"}
    machine.set_power("on")
    assert redfish[name]["booted"] == target
    assert redfish[name]["boot"]["enabled"] == "disabled"


def test_boot_override_is_cleared(redfish: Any, bmc: Connect) -> None:
    """Clearing leaves no override behind, and clearing twice is fine."""
    machine = bmc()
    machine.set_boot_once("pxe", "uefi")
    assert machine.boot_override() == "Pxe, Once, mode UEFI"
    machine.clear_boot_once()
    machine.clear_boot_once()
    assert machine.boot_override() == ""
    assert redfish["cp-1"]["boot"]["enabled"] == "disabled"


def test_a_bmc_that_ignores_the_override_is_found_out(redfish: Any, bmc: Connect) -> None:
    """200 OK without effect is an error that says so and names the next step."""
    redfish.break_("cp-1", "bmc-ignores-override")
    with pytest.raises(BmcError) as caught:
        bmc().set_boot_once("pxe", "uefi")
    assert "ignores it" in caught.value.what
    assert caught.value.where == "10.78.0.11"
    assert caught.value.hint


def test_a_bmc_that_lies_about_power_is_found_out(redfish: Any, bmc: Connect) -> None:
    """A BMC that says Off while the machine runs is an error, not a success."""
    redfish.break_("cp-1", "bmc-power-lies")
    with pytest.raises(BmcError, match="still reports off"):
        bmc().set_power("on")


def test_503_is_survived_and_named(redfish: Any, bmc: Connect, events: list[Event]) -> None:
    """A BMC that is busy for a while costs time, not the run; the events name the 503."""
    machine = bmc()
    redfish.break_("cp-1", "bmc-503", seconds=3)
    machine.set_power("on")
    assert redfish["cp-1"]["power"] == "on"
    retries = [e for e in events if e.kind == "bmc.retry"]
    assert retries
    assert "503" in retries[0].text
    assert [e.kind for e in events if e.kind == "bmc.recovered"]


def test_503_without_end_is_given_up(redfish: Any, bmc: Connect) -> None:
    """Patience is bounded: the error says how long was tried and why."""
    redfish.break_("cp-1", "bmc-503")
    with pytest.raises(BmcError, match="did not report its power state") as caught:
        bmc(patience=2).power()
    assert "503" in caught.value.why


def test_a_slow_bmc_is_waited_for(redfish: Any, bmc: Connect) -> None:
    """Slow is not dead: an answer within the request's time-out counts."""
    machine = bmc()
    assert machine.power() == "off"
    redfish.break_("cp-1", "bmc-slow", seconds=2)
    assert machine.power() == "off"


def test_a_silent_address_is_given_up(redfish: Any, bmc: Connect) -> None:
    """Nobody at the address: unreachable within the patience, with the reason."""
    silent = open_bmc(
        "redfish",
        Access("10.78.0.99", 444, Credentials(USER, Secret(PASSWORD)), timing=Timeouts(connect=1, patience=1)),
    )
    with pytest.raises(BmcError, match="did not") as caught:
        silent.power()
    assert "no answer" in caught.value.why


def test_a_wrong_password_is_not_retried(bmc: Connect, events: list[Event]) -> None:
    """Retrying a wrong password locks accounts, so it fails at once and says what to correct."""
    with pytest.raises(BmcError, match="refuses this username and password"):
        bmc(password="wrong").power()
    assert not events


def test_an_unknown_certificate_is_refused(redfish: Any, bmc: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that signed itself is refused at once, and accepted when it is named as authority."""
    with pytest.raises(BmcError, match="certificate is not trusted") as caught:
        bmc(trust=Trust()).power()
    assert "self-signed" in caught.value.why
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(redfish.state / "lab" / "bmc.pem"))
    assert bmc(trust=Trust()).power() == "off"


def test_a_wrong_serial_shows_in_the_identity(redfish: Any, bmc: Connect) -> None:
    """The fault that the registered phase must find: a BMC of another machine."""
    redfish.break_("cp-1", "bmc-wrong-serial")
    assert bmc().identity().serial == "WRONG0001"


def test_the_event_log_is_read(bmc: Connect) -> None:
    """What the BMC wrote down comes back with its time."""
    machine = bmc()
    before = len(machine.event_log())
    machine.set_power("on")
    assert [(entry.text, entry.at[:2]) for entry in machine.event_log()[before:]] == [("power: On", "20")]


def test_what_broke_is_in_the_event_log(redfish: Any, bmc: Connect) -> None:
    """A fan that failed is read as critical, although the BMC has a wrong clock."""
    machine = bmc()
    assert [entry for entry in machine.event_log() if entry.severity != "OK"] == []
    redfish.break_("cp-1", "bmc-fan")
    (entry,) = [entry for entry in machine.event_log() if entry.severity != "OK"]
    assert (entry.severity, entry.text) == ("Critical", "Fan 3 failed")


def test_the_console_is_appended_to_a_file(redfish: Any, bmc: Connect, tmp_path: Path) -> None:
    """The serial console comes whole, without what was there already being lost."""
    Path(redfish["cp-1"]["console"]).write_text("GRUB\nLinux\n")
    kept = tmp_path / "console.log"
    kept.write_text("earlier\n")
    polls = iter([False, False, True])
    bmc().console(kept, lambda: next(polls))
    assert kept.read_text() == "earlier\nGRUB\nLinux\n"


def test_http_boot_needs_uefi(bmc: Connect) -> None:
    """HTTP boot of BIOS firmware is a mistake in the file, said before anything is written."""
    with pytest.raises(ConfigError, match="UEFI"):
        bmc("cp-2").set_boot_once("http", "bios")


@pytest.mark.parametrize(
    "quirk",
    ["quirk-supermicro-x10", "quirk-supermicro", "quirk-idrac9", "quirk-hpe-ilo", "quirk-hpe-dl160", "quirk-ami"],
)
def test_vendors_habits_are_known(redfish: Any, bmc: Connect, quirk: str) -> None:
    """On each vendor's BMC the override is really stored, really cleared, and the serial is the one DMI shows."""
    redfish.break_("cp-1", quirk)
    machine = bmc()
    assert machine.identity().serial == "LAB0011"
    machine.set_boot_once("pxe", "uefi")
    assert redfish["cp-1"]["boot"] == {"target": "pxe", "enabled": "once"}
    machine.clear_boot_once()
    assert redfish["cp-1"]["boot"]["enabled"] == "disabled"
