"""A machine whose QEMU crashes is started again: by a real libvirtd, with a real QEMU that gets a real signal."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import DataCenter
from bmk.lab.host.launcher import lab_dir, supervisor_pid
from bmk.lab.lifecycle import bring_up, take_down
from bmk.lab.machines.crashes import STARTS, started_again
from bmk.lab.vagrant.machines import VIRSH, reached
from bmk.paths import content_dir
from tests.services.lab.conftest import eventually

pytestmark = pytest.mark.services

REFERENCE = str(content_dir() / "molecule/dc.yml")
NAME, OTHER = "crashes", "crashes-too"
DOMAIN = """\
<domain type="qemu"><name>{name}</name><memory unit="MiB">64</memory>
<os><type arch="x86_64" machine="q35">hvm</type></os><features><acpi/></features></domain>
"""


@pytest.fixture
def dc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataCenter]:
    """The lab of molecule, with a machine in it."""
    monkeypatch.setenv("BMK_STATE_DIR", str(tmp_path))
    dc = load_datacenter(REFERENCE)
    try:
        bring_up(dc, REFERENCE, lambda _: None)
        define(dc, NAME)
        yield dc
    finally:
        take_down(dc, lambda _: None, delete=True)


def define(dc: DataCenter, name: str) -> None:
    """A machine without a disk, and on."""
    description = lab_dir(dc.name) / f"{name}.xml"
    description.write_text(DOMAIN.format(name=name))
    asked(dc, "define", str(description))
    asked(dc, "start", name)


def asked(dc: DataCenter, *arguments: str) -> str:
    done = subprocess.run(reached(dc, [*VIRSH, *arguments]), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def crash(dc: DataCenter, name: str = NAME) -> None:
    """What an assertion in QEMU does to it. Its number is one of the lab's processes, and only those are seen."""
    command = ["nsenter", "--target", str(supervisor_pid(dc.name)), "--mount", "--pid"]
    subprocess.run([*command, "sh", "-c", f"kill -ABRT $(cat /run/libvirt/qemu/{name}.pid)"], check=True, timeout=60)


def runs(dc: DataCenter) -> bool:
    return asked(dc, "domstate", NAME) == "running"


def test_a_machine_whose_qemu_crashes_is_started_again_and_it_is_said(dc: DataCenter) -> None:
    """As often as is believed to be an accident; then it stays off."""
    said: list[str] = []
    with started_again(reached(dc, VIRSH), lab_dir(dc.name) / "libvirt/log/qemu", said.append, pause=0.1):
        for number in range(1, STARTS + 1):
            crash(dc)
            eventually(lambda n=number: runs(dc) and asked(dc, "domid", NAME) == str(n + 1))
        crash(dc)
        eventually(lambda: asked(dc, "domstate", NAME, "--reason") == "shut off (crashed)")
    assert [line.startswith(f"{NAME}: QEMU ended by itself (") for line in said] == [True] * STARTS
    assert asked(dc, "domstate", NAME) == "shut off"


def test_a_machine_that_is_ended_stays_off(dc: DataCenter) -> None:
    """Vagrant ends machines, too: that is no crash. One that crashed at the same time is seen."""
    said: list[str] = []
    asked(dc, "destroy", NAME)
    with started_again(reached(dc, VIRSH), lab_dir(dc.name) / "libvirt/log/qemu", said.append, pause=0.1):
        define(dc, OTHER)
        crash(dc, OTHER)
        eventually(lambda: len(said) == 1)
    assert said[0].startswith(OTHER)
    assert (asked(dc, "domstate", NAME), asked(dc, "domstate", OTHER)) == ("shut off", "running")
