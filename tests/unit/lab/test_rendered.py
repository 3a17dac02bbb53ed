"""What is handed to `ip` and QEMU, compared with golden files. BMK_GOLDEN=write rewrites them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from bmk.datacenter.resolve import DataCenter
from bmk.lab.host import network
from bmk.lab.machines import vm
from bmk.lab.machines.hardware import hardware_of
from bmk.lab.machines.machine import Target

GOLDEN = Path(__file__).parent / "golden"


def check(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("BMK_GOLDEN") == "write":
        path.write_text(text)
    assert path.read_text() == text


def test_the_network(hall: DataCenter) -> None:
    """One bridge for each node network with deployer and gateway, every BMC address local, no route outside."""
    lines = network.plan(hall)
    one = hardware_of(hall)["one"]
    lines += [line for port in one.ports for line in network.tap_lines(port)]
    lines += network.veth_lines(one.ports[0], 0, 4711, up=False)
    check("network.txt", "\n".join(lines) + "\n")


@pytest.mark.parametrize("target", ["pxe", "disk"])
@pytest.mark.parametrize("name", ["one", "two"])
def test_qemu(hall: DataCenter, name: str, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Firmware, identity, disks with serial numbers, NICs with MACs, and the boot order, are what the file says."""
    monkeypatch.setattr(vm, "_first", lambda candidates: candidates[0])
    hardware = hardware_of(hall)[name]
    words = vm.arguments(hardware, target, kvm=False, qmp_fd=7)
    text = "".join(f"\n{w}" if w.startswith("-") else f" {w}" for w in words).lstrip("\n") + "\n"
    check(f"qemu-{name}-{target}.txt", text)


def test_with_kvm_the_host_cpu_is_used(hall: DataCenter) -> None:
    """A machine that really can use KVM does."""
    words = vm.arguments(hardware_of(hall)["two"], "disk", kvm=True, qmp_fd=7)
    assert words[words.index("-accel") + 1] == "kvm"
    assert words[words.index("-cpu") + 1] == "host"


@pytest.mark.parametrize(("name", "device"), [("one", "tpm-crb"), ("two", "tpm-tis")])
def test_a_tpm_is_there_when_the_profile_asks_for_it(hall: DataCenter, name: str, device: str) -> None:
    """And it comes after all other devices, so that it changes no other's place."""
    words = vm.arguments(replace(hardware_of(hall)[name], tpm=True), "disk", kvm=False, qmp_fd=7)
    assert words[-1] == f"{device},tpmdev=tpm"
    assert words[:-6] == vm.arguments(hardware_of(hall)[name], "disk", kvm=False, qmp_fd=7)
