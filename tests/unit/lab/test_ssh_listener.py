"""ssh to simulated machines: who answers, and how closed its sshd is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from bmk.datacenter.resolve import DataCenter
from bmk.lab.machines.hardware import hardware_of
from bmk.lab.machines.machine import Chassis
from bmk.lab.machines.machine_backends import MachineContext, backend_of
from bmk.lab.machines.simulated import SimulatedBackend
from bmk.lab.machines.ssh_listener import SshListener, is_up


def test_only_a_machine_that_booted_its_disk_answers(hall: DataCenter, tmp_path: Path) -> None:
    """Before power, and before its own system runs, nobody is there."""
    hardware = replace(hardware_of(hall)["one"], kind="simulated")
    chassis = Chassis(hardware, tmp_path / "one", lambda *_: None)
    backend = backend_of(chassis, MachineContext(kvm=False, cgroup="x", url="http://127.0.0.1"))
    assert isinstance(backend, SimulatedBackend)
    chassis.backend = backend
    states = []
    for chassis.running, backend.booted in ((False, True), (True, False), (True, True)):
        states.append(is_up(chassis))
    assert states == [False, False, True]
    with ThreadPoolExecutor(1) as pool:
        assert not SimulatedBackend(chassis, "http://127.0.0.1", pool).booted


def test_sshd_runs_one_fixed_command(tmp_path: Path) -> None:
    """Keys only, no forwarding, no command of the client; key and authorized keys are the machine's own."""
    command = SshListener({}, tmp_path)._command("/mnt/one/disk")
    options = {word for flag, word in pairwise(command) if flag == "-o"}
    assert options >= {
        "ForceCommand=/bin/sh /run/bmk/shell", "PasswordAuthentication=no", "DisableForwarding=yes", "PermitUserRC=no",
        "HostKey=/mnt/one/disk/etc/ssh/ssh_host_ed25519_key",
        "AuthorizedKeysFile=/mnt/one/disk/root/.ssh/authorized_keys",
    }  # fmt: skip
