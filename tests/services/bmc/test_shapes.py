"""Every operation over every recorded BMC: the right value, or a BmcError with a next command; never anything else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from bmk.bmc import Access, Bmc, Machine, Timeouts, Trust, open_bmc
from bmk.errors import BmcError, ConfigError
from bmk.secrets import Credentials, Secret

from .recorded import Shape, ipmitool, redfish, shapes

pytestmark = pytest.mark.services
FAST = Timeouts(
    connect=3, request=5, patience=1, first_pause=0.2, longest_pause=0.2, settle=0.3, shutdown=1, poll=0.02
)  # seconds
SHAPES = shapes()


@pytest.fixture(params=SHAPES, scope="module")
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shape, Bmc]]:
    """A shape, and the real client of a BMC that answers as it does."""
    shape, place = SHAPES[request.param], tmp_path_factory.mktemp(request.param)
    known = shape.get("file", {})
    machine = Machine(known.get("serial"), known.get("uuid"), known.get("system"), tuple(known.get("macs", ())))
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("PATH", f"{place / 'bin'}:/usr/bin:/bin")
        ipmitool(shape, place / "bin")
        if "redfish" in shape:
            server = stack.enter_context(redfish(shape, place))
            trust = Trust(authorities=server.certificate)
            bmc = open_bmc(
                "redfish",
                Access("127.0.0.1", server.port, Credentials("u", Secret("p")), trust, timing=FAST, machine=machine),
            )
        else:
            bmc = open_bmc(
                "ipmi", Access("192.0.2.1", None, Credentials("u", Secret("p")), timing=FAST, machine=machine)
            )
        yield shape, bmc
        bmc.disconnect()


def answer(ask: Callable[[], Any], expected: Any) -> None:
    """What is asked has this value; where the right answer is an error, it says this and what to do."""
    if not isinstance(expected, dict) or "error" not in expected:
        assert ask() == expected
        return
    with pytest.raises((BmcError, ConfigError)) as caught:
        ask()
    error = caught.value
    assert re.search(expected["error"], f"{error.what} ({error.why})"), str(error)
    assert error.hint


def test_who_it_is(recorded: tuple[Shape, Bmc]) -> None:
    """Serial, UUID, MACs, maker and firmware: what it does not know is nothing, never a placeholder."""
    shape, bmc = recorded
    answer(lambda: {**asdict(bmc.identity()), "macs": sorted(bmc.identity().macs)}, shape["expects"]["identity"])


def test_what_is_built_in(recorded: tuple[Shape, Bmc]) -> None:
    """Processors, memory and drives."""
    shape, bmc = recorded

    def inventory() -> Any:
        seen = bmc.inventory()
        disks = [[d.name, d.size, d.serial, d.wwn, d.rotational] for d in seen.disks]
        return {"cpus": seen.cpus, "memory": seen.memory, "disks": disks}

    answer(inventory, shape["expects"]["inventory"])


def test_what_happened(recorded: tuple[Shape, Bmc]) -> None:
    """How many entries there are, and those that are bad."""
    shape, bmc = recorded

    def log() -> Any:
        entries = bmc.event_log()
        bad = [[e.at, e.severity, e.text] for e in entries if e.severity != "OK"]
        return {"entries": len(entries), "bad": bad}

    answer(log, shape["expects"]["log"])


def test_power_is_read_and_changed(recorded: tuple[Shape, Bmc]) -> None:
    """Each order ends in its state, read back, whatever words the BMC has for it."""
    shape, bmc = recorded
    expected = shape["expects"]["power"]
    answer(bmc.power, expected)
    for order, ends in (("off", "off"), ("on", "on"), ("cycle", "on"), ("restart", "on"), ("shutdown", "off")):

        def change(order: Any = order) -> str:
            bmc.set_power(order)
            return bmc.power()

        answer(change, expected if isinstance(expected, dict) else ends)


@pytest.mark.parametrize("target", ["pxe", "http"])
def test_the_next_boot_is_set_and_cleared(recorded: tuple[Shape, Bmc], target: Any) -> None:
    """In the form that it takes; where it cannot, that is said before a machine is switched on."""
    shape, bmc = recorded
    expected = shape["expects"][target]

    def there_and_back() -> list[str]:
        bmc.set_boot_once(target, shape["expects"].get("firmware", "uefi"))
        told = bmc.boot_override()
        bmc.clear_boot_once()
        return [told, bmc.boot_override()]

    answer(there_and_back, expected if isinstance(expected, dict) else [expected, ""])


def test_a_medium_is_inserted_and_ejected(recorded: tuple[Shape, Bmc]) -> None:
    """Or it is said that there is no drive for it."""
    shape, bmc = recorded

    def there_and_back() -> str:
        bmc.insert_media(b"nonce")
        bmc.eject_media()
        return "taken"

    answer(there_and_back, shape["expects"]["media"])


def test_the_console_is_read(recorded: tuple[Shape, Bmc], tmp_path: Path) -> None:
    """Over IPMI, where it offers that."""
    shape, bmc = recorded
    log = tmp_path / "console.log"

    def console() -> str:
        bmc.console(log, lambda: log.exists() and b"login:" in log.read_bytes())
        return "read"

    answer(console, shape["expects"]["console"])
