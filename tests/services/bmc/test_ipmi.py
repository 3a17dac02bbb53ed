"""IpmiBmc against OpenIPMI's real simulator."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bmk.bmc import Access, Bmc, Timeouts, open_bmc
from bmk.errors import BmcError, ConfigError
from bmk.journal.events import Event
from bmk.secrets import Credentials, Secret

pytestmark = pytest.mark.services
USER, PASSWORD = "operator", "right-horse-battery"
FAST = Timeouts(request=15, patience=20, first_pause=0.2, longest_pause=1, settle=2, poll=0.1)
Connect = Callable[..., Bmc]


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def bmc(ipmi: Any, events: list[Event]) -> Connect:
    def connect(name: str = "worker-1", password: str = PASSWORD, **timing: float) -> Bmc:
        seconds = Timeouts(**{**{f: getattr(FAST, f) for f in FAST.__slots__}, **timing})
        return open_bmc(
            "ipmi",
            Access(
                ipmi[name]["bmc"]["address"],
                None,
                Credentials(USER, Secret(password)),
                notify=events.append,
                timing=seconds,
            ),
        )

    return connect


def test_identity_is_the_machines_own(ipmi: Any, bmc: Connect) -> None:
    """UUID in the byte order that DMI shows, and the serial from the FRU data."""
    for name in ("worker-1", "worker-2"):
        identity = bmc(name).identity()
        assert (identity.uuid, identity.serial) == (ipmi[name]["uuid"], ipmi[name]["serial"])


def test_power_is_switched_and_read_back(ipmi: Any, bmc: Connect, events: list[Event]) -> None:
    """On, cycle and off end in the state that was asked for, and each is an event."""
    machine = bmc()
    assert machine.power() == "off"
    machine.set_power("on")
    assert ipmi["worker-1"]["power"] == "on"
    machine.set_power("cycle")
    assert machine.power() == "on"
    machine.set_power("off")
    assert ipmi["worker-1"]["power"] == "off"
    assert [e.data["power"] for e in events] == ["on", "off", "on", "off"]


@pytest.mark.parametrize(("action", "ends"), [("shutdown", "off"), ("restart", "on")])
def test_a_system_is_asked_to_end(ipmi: Any, bmc: Connect, events: list[Event], action: Any, ends: str) -> None:
    """The graceful orders press the power button, and are done when the end was read."""
    machine = bmc()
    machine.set_power("on")
    events.clear()
    machine.set_power(action)
    assert (ipmi["worker-1"]["power"], machine.power()) == (ends, ends)
    assert "worker-1: power press" in Path(ipmi["worker-1"]["console"]).read_text()
    assert events[0].text == "shut down, power off, read back"


@pytest.mark.parametrize(("action", "ends"), [("shutdown", "off"), ("restart", "on")])
def test_a_system_that_hangs_is_switched_off(
    ipmi: Any, bmc: Connect, events: list[Event], action: Any, ends: str
) -> None:
    """Who does not shut down in time loses power, and an event says so."""
    machine = bmc(shutdown=1)
    machine.set_power("on")
    ipmi.break_("worker-1", "system-hangs")
    machine.set_power(action)
    assert ipmi["worker-1"]["power"] == ends
    assert ["did not shut down in 1 s" in e.text for e in events if e.kind == "bmc.forced"] == [True]


@pytest.mark.parametrize(("name", "firmware"), [("worker-1", "bios"), ("worker-2", "uefi")])
def test_pxe_once_holds_for_one_boot(ipmi: Any, bmc: Connect, name: str, firmware: Any) -> None:
    """The override is for the next boot only and is read back."""
    machine = bmc(name)
    machine.set_boot_once("pxe", firmware)
    assert ipmi[name]["boot"] == {"target": "pxe", "enabled": "once"}
    machine.set_power("on")
    assert ipmi[name]["booted"] == "pxe"
    assert ipmi[name]["boot"]["enabled"] == "disabled"


def test_boot_override_is_cleared(ipmi: Any, bmc: Connect) -> None:
    """Clearing leaves no override behind, and clearing twice is fine."""
    machine = bmc()
    machine.set_boot_once("pxe", "bios")
    assert machine.boot_override().startswith("pxe")
    machine.clear_boot_once()
    machine.clear_boot_once()
    assert machine.boot_override() == ""
    assert ipmi["worker-1"]["boot"]["enabled"] == "disabled"


def test_a_bmc_that_ignores_the_override_is_found_out(ipmi: Any, bmc: Connect) -> None:
    """Success without effect is an error that says so and names the next step."""
    ipmi.break_("worker-1", "bmc-ignores-override")
    with pytest.raises(BmcError, match="ignores it") as caught:
        bmc().set_boot_once("pxe", "bios")
    assert caught.value.hint


def test_a_bmc_that_lies_about_power_is_found_out(ipmi: Any, bmc: Connect) -> None:
    """A BMC that says off while the machine runs is an error, not a success."""
    ipmi.break_("worker-1", "bmc-power-lies")
    with pytest.raises(BmcError, match="still reports off"):
        bmc().set_power("on")


def test_a_busy_bmc_is_survived_and_named(ipmi: Any, bmc: Connect, events: list[Event]) -> None:
    """A BMC that refuses for a while costs time, not the run; the events say why."""
    machine = bmc()
    ipmi.break_("worker-1", "bmc-503", seconds=2)
    machine.set_power("on")
    assert ipmi["worker-1"]["power"] == "on"
    assert [e.kind for e in events if e.kind == "bmc.retry"]
    assert [e.kind for e in events if e.kind == "bmc.recovered"]


def test_a_slow_bmc_is_waited_for(ipmi: Any, bmc: Connect) -> None:
    """Slow is not dead."""
    ipmi.break_("worker-1", "bmc-slow")
    assert bmc().power() == "off"


def test_a_wrong_password_is_not_retried(bmc: Connect, events: list[Event]) -> None:
    """A wrong password fails at once and says what to correct."""
    with pytest.raises(BmcError, match="refuses this username and password"):
        bmc(password="wrong").power()
    assert not events


def test_a_silent_address_is_given_up(ipmi: Any) -> None:
    """Nobody at the address: unreachable within the patience."""
    silent = open_bmc(
        "ipmi", Access("10.78.0.99", None, Credentials(USER, Secret(PASSWORD)), timing=Timeouts(request=3, patience=1))
    )
    with pytest.raises(BmcError, match="did not report its power state"):
        silent.power()


def test_the_password_is_in_no_argv(bmc: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody who can list processes learns the password."""
    seen: list[list[str]] = []
    real = subprocess.Popen

    class Watched(real):  # type: ignore[type-arg,misc]
        def __init__(self, argv: list[str], **options: Any) -> None:
            seen.append(argv)
            super().__init__(argv, **options)

    monkeypatch.setattr(subprocess, "Popen", Watched)
    assert bmc().power() == "off"
    assert seen
    assert not [word for argv in seen for word in argv if PASSWORD in word]


def test_a_wrong_serial_shows_in_the_identity(ipmi: Any, bmc: Connect) -> None:
    """The fault that the registered phase must find: a BMC of another machine."""
    ipmi.break_("worker-1", "bmc-wrong-serial")
    deadline = time.monotonic() + 10
    while bmc().identity().serial != "WRONG0001":
        assert time.monotonic() < deadline


def test_the_console_comes_over_the_lan(ipmi: Any, bmc: Connect, tmp_path: Path) -> None:
    """Serial-over-LAN text lands in the file as the machine says it."""
    kept, machine = tmp_path / "console.log", bmc()
    stop = threading.Event()
    reader = threading.Thread(target=machine.console, args=(kept, stop.is_set))
    reader.start()
    source, deadline = Path(ipmi["worker-1"]["console"]), time.monotonic() + 30
    while not (kept.exists() and b"login:" in kept.read_bytes()):
        with source.open("a") as console:
            console.write("login: \n")
        assert time.monotonic() < deadline
        stop.wait(0.3)
    stop.set()
    reader.join(timeout=10)
    assert not reader.is_alive()


def test_what_broke_is_in_the_event_log(bmc: Connect) -> None:
    """A temperature that a sensor reports as critical is read back as that, and routine is not."""
    machine: Any = bmc()
    before = len(machine.event_log())
    # Add SEL Entry: a system event of the BMC, a temperature sensor, upper critical, going high
    event = "0 0 2 0 0 0 0 0x20 0 4 1 0x30 1 0x59 0xff 0xff"
    machine._ask("take an event", "raw", "0x0a", "0x44", *event.split())
    (entry,) = machine.event_log()[before:]
    assert (entry.severity, "Temperature" in entry.text) == ("Critical", True)


def test_ipmi_has_no_http_boot(bmc: Connect) -> None:
    """What the protocol cannot do is said before anything is written."""
    with pytest.raises(ConfigError, match="http"):
        bmc().set_boot_once("http", "uefi")
