"""Power, boot overrides and faults of a machine, with a backend that only remembers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.bmc import mailbox
from bmk.bmc.nonce_volume import volume
from bmk.datacenter.resolve import DataCenter
from bmk.errors import ConfigError
from bmk.lab.faults import FAULTS, BrokenImages, Faults, flip_byte
from bmk.lab.machines.hardware import hardware_of
from bmk.lab.machines.machine import MEDIUM, Boot, Chassis, Target
from bmk.lab.machines.vm import VmBackend


class Remembering:
    """A backend that starts its firmware and does nothing else. `booted` is what each start booted from."""

    def __init__(self, chassis: Chassis) -> None:
        self.chassis = chassis
        self.booted: list[Target] = []
        self.next: Target = "disk"
        self.up = True
        self.presses = 0
        self.media: list[Path | None] = []

    async def start(self, target: Target) -> None:
        self.booted.append(target)
        self.next = target
        self.chassis.firmware_started()

    async def stop(self) -> None: ...

    async def press(self) -> None:
        self.presses += 1

    async def reset(self) -> None:
        """As QEMU does: the firmware starts from the boot order of now, then says so."""
        self.booted.append(self.next)
        self.chassis.firmware_started()

    async def aim(self, target: Target) -> None:
        self.next = target

    async def link(self, up: bool) -> None:
        self.up = up

    async def change_medium(self) -> None:
        self.media.append(self.chassis.medium)


Make = Callable[[], tuple[Chassis, Remembering]]
Work = Callable[[Chassis, Remembering], Coroutine[Any, Any, None]]


@pytest.fixture
def run(hall: DataCenter, tmp_path: Path) -> Callable[[Work], None]:
    """Runs a coroutine with a fresh machine."""

    def go(work: Work) -> None:
        chassis = Chassis(hardware_of(hall)["one"], tmp_path, lambda kind, text: None)
        backend = Remembering(chassis)
        chassis.backend = backend
        asyncio.run(work(chassis, backend))

    return go


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_once_is_used_up_by_the_first_start(run: Callable[[Work], None]) -> None:
    """After a PXE boot that was ordered once, the reboot that ends an installation starts from disk."""

    async def work(machine: Chassis, backend: Remembering) -> None:
        await machine.set_boot("pxe", "once")
        await machine.power("on")
        await settle()
        await machine.power("reset")
        assert backend.booted == ["pxe", "disk"]
        assert machine.show()["boot"] == {"target": "pxe", "enabled": "disabled"}

    run(work)


def test_once_is_used_up_by_a_reset_too(run: Callable[[Work], None]) -> None:
    """An override set while the machine runs counts for its next reset, and for that one only."""

    async def work(machine: Chassis, backend: Remembering) -> None:
        await machine.power("on")
        await machine.set_boot("pxe", "once")
        await machine.power("reset")
        await settle()
        await machine.power("reset")
        assert backend.booted == ["disk", "pxe", "disk"]

    run(work)


def test_continuous_stays(run: Callable[[Work], None]) -> None:
    """A continuous override holds over resets and power cycles until it is taken back."""

    async def work(machine: Chassis, backend: Remembering) -> None:
        await machine.set_boot("pxe", "continuous")
        await machine.power("on")
        await machine.power("reset")
        await machine.power("cycle")
        await machine.set_boot("pxe", "disabled")
        await machine.power("reset")
        assert backend.booted == ["pxe", "pxe", "pxe", "disk"]

    run(work)


def test_without_an_override_it_is_the_disk(run: Callable[[Work], None]) -> None:
    """Nothing ordered: local disk."""

    async def work(machine: Chassis, backend: Remembering) -> None:
        await machine.power("on")
        assert backend.booted == ["disk"]

    run(work)


@given(st.lists(st.sampled_from(["start", "pxe-once", "pxe-continuous", "off"]), max_size=20))
def test_the_network_is_booted_at_most_once_per_order(steps: list[str]) -> None:
    """Whatever the order of events, an order for one boot never yields two."""
    boot, ordered, booted = Boot(), 0, 0
    for step in steps:
        if step == "start":
            booted += boot == Boot("pxe", "once")
            boot = boot.after_start
        elif step == "off":
            boot = Boot()
        else:
            boot = Boot("pxe", "once" if step == "pxe-once" else "continuous")
            ordered += step == "pxe-once"
    assert booted <= ordered


def test_power_on_twice_starts_once(run: Callable[[Work], None]) -> None:
    """A repeated power command changes nothing."""

    async def work(machine: Chassis, backend: Remembering) -> None:
        await asyncio.gather(machine.power("on"), machine.power("on"))
        assert backend.booted == ["disk"]

    run(work)


def test_a_backend_that_ended_by_a_reset_starts_from_the_present_order(run: Callable[[Work], None]) -> None:
    """The next firmware is told what was set while the machine ran, and once is once there too."""

    async def work(machine: Chassis, backend: Remembering) -> None:
        await machine.power("on")
        await machine.set_boot("pxe", "once")
        for _ in range(2):
            machine.was_reset(lambda: True)
            await settle()
        assert backend.booted == ["disk", "pxe", "disk"]

    run(work)


@pytest.mark.parametrize(("action", "booted", "power"), [("off", ["disk"], "off"), ("cycle", ["disk", "disk"], "on")])
def test_power_cut_in_the_middle_of_a_reset_counts(
    run: Callable[[Work], None], action: str, booted: list[str], power: str
) -> None:
    """Who cuts the power while the machine starts again finds it off, and who cycles it finds it started once."""

    async def work(machine: Chassis, backend: Remembering) -> None:
        await machine.power("on")
        cut = asyncio.ensure_future(machine.power(action))
        await asyncio.sleep(0)
        machine.was_reset(lambda: action == "off")
        await cut
        await settle()
        assert (backend.booted, machine.show()["power"]) == (booted, power)

    run(work)


def test_a_machine_that_does_not_start_is_off(run: Callable[[Work], None]) -> None:
    """A failed start is not reported as running."""

    async def work(machine: Chassis, backend: Remembering) -> None:
        async def fail(target: Target) -> None:
            raise ConfigError("no")

        backend.start = fail  # type: ignore[method-assign]
        with pytest.raises(ConfigError):
            await machine.power("on")
        assert machine.show()["power"] == "off"

    run(work)


def faults_of(machine: Chassis, tmp_path: Path) -> Faults:
    return Faults({"one": machine}, BrokenImages(tmp_path / "broken"), list)


def test_a_bmc_that_ignores_the_override(run: Callable[[Work], None], tmp_path: Path) -> None:
    """The write is accepted, the machine keeps its boot order, and reading back shows it."""

    async def work(machine: Chassis, backend: Remembering) -> None:
        await faults_of(machine, tmp_path).set("bmc-ignores-override", machine, True, None)
        await machine.set_boot("pxe", "once")
        assert machine.show()["boot"] == {"target": "disk", "enabled": "disabled"}

    run(work)


def test_a_cable_pulled_before_power_on_stays_out(run: Callable[[Work], None], tmp_path: Path) -> None:
    """A machine with the fault no-dhcp never has a link, and gets it back when the fault ends."""

    async def work(machine: Chassis, backend: Remembering) -> None:
        faults = faults_of(machine, tmp_path)
        await faults.set("no-dhcp", machine, True, None)
        await machine.power("on")
        assert not backend.up
        await faults.set("no-dhcp", machine, False, None)
        assert backend.up

    run(work)


def test_a_fault_with_a_time_limit_ends(run: Callable[[Work], None], tmp_path: Path) -> None:
    """`--seconds` heals by itself."""

    async def work(machine: Chassis, backend: Remembering) -> None:
        await faults_of(machine, tmp_path).set("bmc-503", machine, True, 0.01)
        assert machine.has("bmc-503")
        async with asyncio.timeout(5):
            while machine.has("bmc-503"):
                await asyncio.sleep(0.005)

    run(work)


def test_the_wrong_serial_is_another_one(run: Callable[[Work], None], tmp_path: Path) -> None:
    """The fault shows a serial number that is not the file's."""

    async def work(machine: Chassis, backend: Remembering) -> None:
        await faults_of(machine, tmp_path).set("wrong-serial", machine, True, None)
        assert machine.show()["serial"] != "S1"

    run(work)


def test_another_disk_nic_and_mode(run: Callable[[Work], None], tmp_path: Path) -> None:
    """What is swapped shows in everything that is built from it, and what was bought comes back."""

    async def work(machine: Chassis, backend: Remembering) -> None:
        faults, bought = faults_of(machine, tmp_path), machine.hardware
        for name in ("wrong-disk", "wrong-nic", "wrong-firmware"):
            await faults.set(name, machine, True, None)
        assert (machine.fitted.firmware, machine.fitted.serial) == ("bios", bought.serial)
        assert machine.fitted.drives[0].serial == machine.show()["disks"][0]["serial"] == "WRONG1"
        assert machine.fitted.ports[0].mac == machine.show()["macs"][0] != bought.ports[0].mac
        for name in ("wrong-disk", "wrong-nic", "wrong-firmware"):
            await faults.set(name, machine, False, None)
        assert machine.fitted == bought

    run(work)


def test_an_unknown_fault_names_the_known_ones(run: Callable[[Work], None], tmp_path: Path) -> None:
    """A misspelt fault is answered with the list."""

    async def work(machine: Chassis, backend: Remembering) -> None:
        with pytest.raises(ConfigError, match="bmc-503") as caught:
            await faults_of(machine, tmp_path).set("bmc503", machine, True, None)
        assert all(name in str(caught.value) for name in FAULTS)

    run(work)


def test_a_machine_reads_what_its_bmc_was_given(run: Callable[[Work], None], tmp_path: Path) -> None:
    """The mailbox that the BMC keeps and the medium that it inserted, until they are gone or a fault hides them."""

    async def work(machine: Chassis, backend: Remembering) -> None:
        assert machine.left() == {}
        machine.mailbox.write_bytes(mailbox.image(bytes(11), b"by mail"))
        (tmp_path / MEDIUM).write_bytes(volume(b"by medium"))
        await machine.insert("http://10.1.0.2/medium.iso")
        assert {way: data.rstrip(b"\0") for way, data in machine.left().items()} == {
            "mailbox": b"by mail",
            "media": b"by medium",
        }
        faults = faults_of(machine, tmp_path)
        await faults.set("kcs-silent", machine, True, None)
        await faults.set("media-unplugged", machine, True, None)
        assert machine.left() == {}
        await faults.set("media-unplugged", machine, False, None)
        await machine.insert("")
        assert machine.left() == {}
        assert backend.media == []  # it was off: its drive is filled as it starts

    run(work)


def test_a_running_machine_sees_its_medium_change(run: Callable[[Work], None], tmp_path: Path) -> None:
    """Inserted and ejected while it runs, as the BMC does."""

    async def work(machine: Chassis, backend: Remembering) -> None:
        await machine.power("on")
        await machine.insert("http://10.1.0.2/medium.iso")
        await machine.insert("")
        assert backend.media == [tmp_path / MEDIUM, None]

    run(work)


def test_a_damaged_byte_differs_by_one_bit(tmp_path: Path) -> None:
    """The spoilt image has the same length and differs in exactly one byte."""
    image = tmp_path / "image"
    image.write_bytes(bytes(range(256)))
    offset = flip_byte(image)
    differing = [i for i, byte in enumerate(image.read_bytes()) if byte != i]
    assert differing == [offset]


def test_processors_that_stop_are_said_with_what_qemu_said(hall: DataCenter, tmp_path: Path) -> None:
    """QEMU stays then, and its machine stands still: nothing else would tell."""
    said: list[tuple[str, str]] = []
    backend = VmBackend(
        Chassis(hardware_of(hall)["one"], tmp_path, lambda kind, text: said.append((kind, text))), kvm=True
    )
    (tmp_path / "qemu.log").write_text("KVM internal error. Suberror: 1\nextra data[0]: 0x0000000000000001\n")
    backend._event("STOP", {})
    assert said == [("lab.note", "QEMU stopped the processors: KVM internal error. Suberror: 1")]
