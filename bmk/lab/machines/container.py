"""A system container: the node image's root with systemd as PID 1 in namespaces and cgroups of its own. Needs root,
as kind does.

Its firmware is emulated here: to boot from the network it asks the boot service as iPXE would; on an `install` answer
it runs the same install agent as the ramdisk, on a directory instead of a disk. Else it boots its disk, if there is a
system on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, Literal

from bmk.agent import AgentError, Order, install
from bmk.agent.hardware import one_line
from bmk.errors import BmkError, PreflightRefused, Unreachable
from bmk.lab.host import cgroups, network
from bmk.lab.machines import container_init, firmware
from bmk.lab.machines.console import Terminal
from bmk.lab.machines.container_hardware import ContainerHardware, PowerCut
from bmk.lab.machines.machine import Chassis, Target

# Directories whose own file systems (overlay snapshots, databases) must not lie on an overlay.
_REAL_DIRECTORIES = ("var/lib/containerd", "var/lib/etcd", "var/lib/kubelet", "var/log/pods")
# The kernel's audit trail and its NVMe fabrics belong to the machine that runs the lab.
_SKIP_UNITS = ("auditd.service", "audit-rules.service", "nvmf-autoconnect.service")
# systemd's options for cgroup v1 only: without the last it would use the host's v2 tree beside it.
_LEGACY = (
    "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1",
    "systemd.unified_cgroup_hierarchy=0",
    "systemd.legacy_systemd_cgroup_controller=1",
)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class ContainerBackend:
    """See `machine.MachineBackend`. `lab` names the lab's cgroup."""

    def __init__(self, chassis: Chassis, lab: str, url: str) -> None:
        self._chassis, self._lab, self._url = chassis, lab, url
        self._directory = chassis.directory
        self.disk = self._directory / "disk"
        self.disk.mkdir(parents=True, exist_ok=True)
        self._terminal: Terminal | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._firmware: asyncio.Task[None] | None = None
        self._off = threading.Event()
        self._aim: Target = "disk"

    async def start(self, target: Target) -> None:
        if self._terminal is None:
            self._terminal = Terminal(self._chassis.console, self._directory / "console.sock")
            await self._terminal.open()
        self._aim, self._off = target, threading.Event()
        self._firmware = asyncio.create_task(self._boot(target))
        self._chassis.firmware_started()

    async def _boot(self, target: Target) -> None:
        """Firmware, then what it starts, again after each restart; ends when it is off or has nothing to boot."""
        try:
            while (how := await self._boot_once(target)) == "restart":
                self._print("=== restart")
                target = self._aim
                self._chassis.firmware_started()
        except (BmkError, AgentError, OSError) as error:
            self._print(f"cannot go on: {error}")
            self._chassis.say("lab.error", f"cannot go on: {error}")
            return
        if how == "off":
            self._chassis.went_off()

    async def _boot_once(self, target: Target) -> Literal["restart", "off", "nothing"]:
        if target != "disk" and await self._network_boot(target):
            return "restart"
        if not (self.disk / "installed").exists():
            self._print("firmware: no bootable device")
            return "nothing"
        # reboot(2) of a container's init is SIGHUP for a restart and SIGINT for power off
        return "restart" if await self._run_systemd() == -signal.SIGHUP else "off"

    async def _network_boot(self, target: Target) -> bool:
        """Ask what to boot; True when an installation was done, False for the local disk."""
        self._print(f"firmware: booting from the network ({target})")
        if self._chassis.has("no-dhcp"):
            self._print("firmware: no link")
            return False
        hardware = self._chassis.fitted
        try:
            answer = await asyncio.to_thread(firmware.ask, self._url, hardware)
        except Unreachable as error:
            self._print(f"firmware: {error}")
            return False
        for line in answer.said:
            self._print(line)
        if answer.order is None:
            return False
        loop, off = asyncio.get_running_loop(), self._off

        def say(text: str) -> None:
            loop.call_soon_threadsafe(self._print, one_line(text).strip())

        machine = ContainerHardware(hardware, self.disk, say, off, self._chassis.left)
        await asyncio.to_thread(_install, answer.order, machine)
        return not off.is_set()

    async def _run_systemd(self) -> int:
        spec = self._directory / "container.json"
        spec.write_text(json.dumps(self._spec()))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            container_init.__file__,
            "enter",
            str(spec),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=(self._directory / "start.log").open("wb"),
        )
        self._process = process
        if process.stdout is None or process.stdin is None or await process.stdout.readline() != b"ready\n":
            await process.wait()
            reason = (self._directory / "start.log").read_text()[-500:]
            raise PreflightRefused("the container did not start", where=self._chassis.hardware.name, why=reason)
        await self._plug(process.pid)
        cgroups.leave_group(cgroups.find(), self._lab, process.pid)
        process.stdin.write(b"go\n")
        code = await process.wait()
        if code > 0:
            raise PreflightRefused(
                "the container's root cannot be made", why=(self._directory / "start.log").read_text()[-500:]
            )
        self._process = None
        return code

    async def _plug(self, pid: int) -> None:
        up = not self._chassis.has("no-dhcp")
        for port in self._chassis.hardware.ports:
            await network.unplug(port)
        lines = [
            line
            for number, port in enumerate(self._chassis.hardware.ports)
            for line in network.veth_lines(port, number, pid, up=up)
        ]
        await network.apply(lines)

    def _spec(self) -> dict[str, Any]:
        """What `container_init.py` needs to know."""
        found = cgroups.find()
        groups = cgroups.make(found, self._lab, self._chassis.hardware.name)
        for name in ("root", "sysctls"):
            (self._directory / name).mkdir(exist_ok=True)
        binds = {inside: self.disk / "real" / inside.replace("/", "-") for inside in _REAL_DIRECTORIES}
        for path in (self.disk / "upper", self.disk / "work", *binds.values()):
            path.mkdir(parents=True, exist_ok=True)
        return {
            "name": self._chassis.hardware.name,
            "root": str(self._directory / "root"),
            "lower": (self.disk / "installed").read_text(),
            "upper": str(self.disk / "upper"),
            "work": str(self.disk / "work"),
            "binds": {inside: str(outside) for inside, outside in binds.items()},
            "sysctls": str(self._directory / "sysctls"),
            "console": str(self._terminal.slave if self._terminal else "/dev/null"),
            "skip_units": list(_SKIP_UNITS),
            "cgroups": [str(g) for g in groups],
            "cgroup_version": found.version,
            "hierarchies": list(found.hierarchies),
            "init": ["/usr/lib/systemd/systemd", *(_LEGACY if found.version == 1 else ())],
            "environment": {
                "container": "lxc",
                "container_uuid": self._chassis.hardware.uuid,
                "PATH": _PATH,
                "TERM": "vt220",
            },
        }

    def _print(self, text: str) -> None:
        if self._terminal is not None:
            self._terminal.write(text + "\n")

    async def stop(self) -> None:
        self._off.set()
        if self._firmware is not None:
            self._firmware.cancel()
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            self._signal(process, signal.SIGKILL)  # the container's PID 1: unshare ends when everything inside is dead
            await process.wait()
        cgroups.remove(cgroups.find(), self._lab, self._chassis.hardware.name)

    async def press(self) -> None:
        """systemd powers off on SIGRTMIN+4."""
        if self._process is not None:
            self._signal(self._process, signal.SIGRTMIN + 4)

    async def reset(self) -> None:
        target = self._aim
        await self.stop()
        await self.start(target)

    async def aim(self, target: Target) -> None:
        self._aim = target

    async def change_medium(self) -> None:
        """Nothing to do: the agent reads the drive when it needs it."""

    async def link(self, up: bool) -> None:
        for port in self._chassis.hardware.ports:
            await network.set_link(port, up)

    @staticmethod
    def _signal(process: asyncio.subprocess.Process, number: int) -> None:
        """To PID 1 of the container, or to unshare while there is none yet."""
        pid = process.pid
        inside = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(int(inside[0]) if inside else pid, number)


def _install(order: Order, hardware: ContainerHardware) -> None:
    """Run the install agent, as the ramdisk does. A power cut ends it without a report."""
    with contextlib.suppress(PowerCut):
        install(order, hardware)
