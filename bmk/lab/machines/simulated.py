"""A simulated machine: the real install agent and boot service without hardware; its disk is a marker file.

Thousands fit into one lab: installs run in a pool of threads. A real sshd answers with the reported host keys and
refuses every command (`ssh_listener.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from bmk.agent import AgentError, Disk, InstallSpec, install
from bmk.agent.configure import HostFile, write_files
from bmk.agent.hardware import one_line
from bmk.agent.model import BootOrder
from bmk.agent.nonces import opened
from bmk.agent.simulated import SimulatedHardware
from bmk.agent.tpm.commands import Exchange
from bmk.errors import Unreachable
from bmk.lab.machines import firmware, tpm
from bmk.lab.machines.container_hardware import PowerCut, facts_of
from bmk.lab.machines.machine import Chassis, Target

THREADS = 16  # installations at a time; more would only wait for each other


class _Hardware(SimulatedHardware):
    """The hardware of the install agent, without any: facts, and host keys that sshd can use."""

    def __init__(self, chassis: Chassis, off: threading.Event) -> None:
        super().__init__(facts_of(chassis.fitted, chassis.directory / "disk"), opened(chassis.left()))
        self._directory, self._off = chassis.directory / "disk", off
        self._place = chassis.directory if chassis.fitted.tpm else None
        self._console = chassis.console

    def tpm(self) -> contextlib.AbstractContextManager[Exchange]:
        return tpm.opened(self._place) if self._place else super().tpm()

    def configure(self, disk: Disk, spec: InstallSpec) -> list[str]:  # noqa: ARG002 - there is one
        keys = "".join(f"{key}\n" for key in spec.authorized_keys)
        write_files(self._directory, {"root/.ssh/authorized_keys": HostFile(keys, 0o600)})
        return [_make_key(self._directory, spec.hostname)]

    def boot_from(self, disk: Disk) -> BootOrder:
        if self._off.is_set():
            raise PowerCut
        (self._directory / "installed").touch()
        return BootOrder([disk.name])

    def say(self, text: str) -> None:
        with self._console.open("a") as console:
            console.write(one_line(text))


def _make_key(root: Path, hostname: str) -> str:
    """A host key that sshd can read, and its public line; made here, because ssh-keygen costs a process."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    write_files(root, {"etc/ssh/ssh_host_ed25519_key": HostFile(private, 0o600)})
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return f"{public} {hostname}"


class SimulatedBackend:
    """See `machine.MachineBackend`. `pool` is shared by all of a lab; `url` is the boot server's."""

    def __init__(self, chassis: Chassis, url: str, pool: ThreadPoolExecutor) -> None:
        self._chassis, self._url, self._pool = chassis, url, pool
        self._disk = chassis.directory / "disk"
        self._disk.mkdir(parents=True, exist_ok=True)
        self._off = threading.Event()
        self._aim: Target = "disk"
        self._running: asyncio.Task[None] | None = None
        self.booted = False  # from its disk: `SshListener` answers connections

    async def start(self, target: Target) -> None:
        self._aim, self._off = target, threading.Event()
        self._running = asyncio.create_task(self._boot(target))
        self._chassis.firmware_started()

    async def _boot(self, target: Target) -> None:
        loop = asyncio.get_running_loop()
        if target != "disk" and not self._chassis.has("no-dhcp"):
            try:
                await loop.run_in_executor(self._pool, self._network_boot, self._off)
            except (Unreachable, AgentError) as error:
                self._chassis.say("lab.error", f"cannot go on: {error}")
                return
            self._chassis.firmware_started()  # the restart into the installed system, or the local disk
        self.booted = (self._disk / "installed").exists() and not self._off.is_set()

    def _network_boot(self, off: threading.Event) -> None:
        chassis = self._chassis
        answer = firmware.ask(self._url, chassis.fitted)
        if answer.order is not None:
            with contextlib.suppress(PowerCut):
                install(answer.order, _Hardware(chassis, off))

    async def stop(self) -> None:
        self._off.set()
        self.booted = False
        if self._running is not None:
            self._running.cancel()

    async def press(self) -> None:
        await self.stop()
        self._chassis.went_off()

    async def reset(self) -> None:
        await self.stop()
        await self.start(self._aim)

    async def aim(self, target: Target) -> None:
        self._aim = target

    async def link(self, up: bool) -> None:
        """Nothing to do: link states are read at boot."""

    async def change_medium(self) -> None:
        """Nothing to do: the agent reads the drive when it needs it."""
