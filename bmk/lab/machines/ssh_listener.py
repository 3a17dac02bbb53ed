"""One ssh listener for all simulated machines: each connection gets a real sshd with the host key of its local address.

sshd is the node image's own, in its root (the controller needs none). Commands are refused, except `true` and reading
the boot id.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bmk.lab.host.rootfs import base_root
from bmk.lab.machines.machine import Chassis
from bmk.lab.machines.simulated import SimulatedBackend

_SHELL = """\
case "$SSH_ORIGINAL_COMMAND" in
  true) exit 0 ;;
  *boot_id*) cat /proc/sys/kernel/random/boot_id ;;
  *) echo "this machine is simulated: it runs nothing" >&2; exit 127 ;;
esac
"""


class SshListener:
    """`machines` are the simulated machines by address, also those that are added later. Only root can answer."""

    def __init__(self, machines: Mapping[str, Chassis], directory: Path) -> None:
        self._machines, self._home, self._root = machines, directory / "machines", directory / "simulated"
        self._sessions: set[asyncio.Task[None]] = set()

    def prepare(self) -> None:
        """The node root with the machines below /mnt, seen in the lab's mount namespace only."""
        self._root.mkdir(exist_ok=True)
        _mount("--bind", str(base_root()), str(self._root))
        _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", f"{self._root}/run")
        for path, mode in ((self._root / "run/sshd", 0o755), (self._root / "run/bmk", 0o700)):
            path.mkdir(mode=mode)
        (self._root / "run/bmk/shell").write_text(_SHELL)
        (self._root / "run/bmk/shadow").write_text(
            "root:*:1:0:99999:7:::\n"
        )  # not locked, and without a valid password
        _mount("--bind", f"{self._root}/run/bmk/shadow", f"{self._root}/etc/shadow")
        for source, target in (("/dev", "dev"), ("/proc", "proc"), (self._home, "mnt")):
            _mount("--bind", str(source), f"{self._root}/{target}")

    async def serve(self) -> None:
        """Accept until cancelled."""
        loop = asyncio.get_running_loop()
        with socket.create_server(("0.0.0.0", 22), backlog=1024) as listener:  # noqa: S104 - the lab's namespace
            listener.setblocking(False)
            while True:
                connection, _ = await loop.sock_accept(listener)
                task = asyncio.create_task(self._session(connection))
                self._sessions.add(task)
                task.add_done_callback(self._sessions.discard)

    async def _session(self, connection: socket.socket) -> None:
        with connection:
            machine = self._machines.get(connection.getsockname()[0])
            if machine is None or not is_up(machine):
                return
            connection.setblocking(True)
            end, disk = connection.fileno(), f"/mnt/{machine.hardware.name}/disk"
            process = await asyncio.create_subprocess_exec(
                *self._command(disk),
                stdin=end,
                stdout=end,
                stderr=asyncio.subprocess.DEVNULL,
            )
        await process.wait()

    def _command(self, disk: str) -> list[str]:
        settings = {
            "HostKey": f"{disk}/etc/ssh/ssh_host_ed25519_key",
            "AuthorizedKeysFile": f"{disk}/root/.ssh/authorized_keys",
            "ForceCommand": "/bin/sh /run/bmk/shell",
            "PermitRootLogin": "prohibit-password",
            "PasswordAuthentication": "no",
            "StrictModes": "no",
            "UsePAM": "no",
            "PidFile": "none",
            "DisableForwarding": "yes",
            "PermitUserRC": "no",
        }
        inside = ["chroot", str(self._root), "/usr/sbin/sshd"]
        return [*inside, "-i", "-f", os.devnull, *(w for k, v in settings.items() for w in ("-o", f"{k}={v}"))]


def is_up(machine: Chassis) -> bool:
    """Whether the machine runs and has booted from its disk."""
    return machine.running and isinstance(machine.backend, SimulatedBackend) and machine.backend.booted


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)
