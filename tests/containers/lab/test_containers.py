"""System containers are hosts: they boot, answer ssh, restart, and leave their host alone."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from .conftest import Boxes, eventually

pytestmark = pytest.mark.containers


def test_it_is_a_running_system(boxes: Boxes) -> None:
    """systemd is PID 1 and all of its units came up, on this machine's cgroup version and capabilities."""
    done = boxes.ssh("one", "cat /proc/1/comm; systemctl is-system-running --wait; hostname")
    failed = boxes.ssh("one", "systemctl --failed --no-legend").stdout
    assert done.stdout.split() == ["systemd", "running", "one"], failed


def test_hosts_reach_each_other_and_the_deployer(boxes: Boxes) -> None:
    """Both hang on the lab's bridge with the addresses of the file."""
    assert boxes.ssh("one", "ping -c1 -W5 10.63.0.12 && ping -c1 -W5 10.63.0.1").returncode == 0


def settings() -> list[str]:
    """Of the machine that runs the lab."""
    return [Path("/proc/sys", name).read_text() for name in ("vm/swappiness", "kernel/panic", "kernel/hostname")]


def test_the_hosts_settings_are_out_of_reach(boxes: Boxes) -> None:
    """A sysctl, the host name and the kernel log of a container are its own; the machine that runs it keeps its own."""
    before = settings()
    boxes.ssh("one", "sysctl -w vm.swappiness=7 kernel.panic=99; hostname changed; echo bmk-was-here > /dev/kmsg")
    seen = boxes.ssh("one", "sysctl -n vm.swappiness kernel.panic").stdout.split()
    boxes.ssh("one", "hostname one")
    log = subprocess.run(["dmesg"], capture_output=True, text=True, check=False).stdout
    assert (seen, settings()) == (["7", "99"], before)
    assert "bmk-was-here" not in log


def test_a_reboot_is_a_new_boot_of_the_same_disk(boxes: Boxes) -> None:
    """After `reboot` the host is back with its files and another boot id."""
    first = boxes.ssh("two", "touch /etc/kept; cat /proc/sys/kernel/random/boot_id").stdout
    boxes.ssh("two", "systemctl reboot")
    eventually(lambda: "=== restart" in boxes.console("two"))
    boxes.wait_ssh("two")
    second = boxes.ssh("two", "ls /etc/kept; cat /proc/sys/kernel/random/boot_id").stdout.split()
    assert second[0] == "/etc/kept"
    assert second[1] != first.strip()


def test_power_off_inside_is_seen_outside(boxes: Boxes) -> None:
    """A host that switches itself off is off for its BMC, and comes back by the BMC's power on."""
    boxes.ssh("two", "systemctl poweroff")
    eventually(lambda: boxes.machine("two")["power"] == "off")
    boxes.request("power", machine="two", action="on")
    boxes.wait_ssh("two")


def test_the_power_button_shuts_down(boxes: Boxes) -> None:
    """`press` is a graceful shutdown: systemd ends its units and the machine is off."""
    boxes.request("power", machine="two", action="press")
    eventually(lambda: boxes.machine("two")["power"] == "off")
    assert "Power off" in boxes.console("two") or "Powering off" in boxes.console("two")
    boxes.request("power", machine="two", action="on")
    boxes.wait_ssh("two")


def test_without_a_grant_the_network_boot_ends_at_the_disk(boxes: Boxes) -> None:
    """A container told to boot from the network asks the boot service, is told "local disk", and loses nothing."""
    boxes.ssh("two", "touch /etc/precious; sync")
    boxes.request("boot", machine="two", target="pxe", enabled="once")
    boxes.request("power", machine="two", action="cycle")
    boxes.wait_ssh("two")
    assert boxes.ssh("two", "ls /etc/precious").stdout.strip() == "/etc/precious"
    assert "nothing to install now" in boxes.console("two")
    assert boxes.machine("two")["boot"] == {"target": "pxe", "enabled": "disabled"}


def test_a_pulled_cable_and_a_plugged_one(boxes: Boxes) -> None:
    """With the fault no-dhcp a host is silent; healed, it answers again without a restart."""
    boxes.bmk("lab", "break", str(boxes.file), "no-dhcp", "one")
    assert boxes.ssh("one", "true").returncode != 0
    boxes.bmk("lab", "heal", str(boxes.file))
    boxes.wait_ssh("one")


def test_no_device_of_the_host_is_inside(boxes: Boxes) -> None:
    """A container sees no disk and no terminal of the machine that runs it."""
    names = boxes.ssh("one", "ls /dev").stdout.split()
    assert {"null", "console", "ptmx"} <= set(names)
    assert not [n for n in names if n.startswith(("vd", "sd", "nvme", "loop", "tty")) and n != "tty"]


def test_a_killed_lab_leaves_no_control_group(boxes: Boxes) -> None:
    """kill -9 of the supervisor ends every container, and their control groups are gone a moment later."""
    assert boxes.leftovers()
    os.kill(boxes.supervisor, signal.SIGKILL)
    eventually(lambda: not boxes.leftovers())
    boxes.bmk("lab", "up", str(boxes.file))
    boxes.request("power", machine="one", action="on")
    boxes.wait_ssh("one")
