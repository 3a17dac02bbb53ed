"""A machine's TPM 2.0: swtpm. Its state (keys, counters) belongs to the machine.

`arguments()` is pure; `SoftwareTpm` runs as long as a QEMU; `opened()` is for a simulated machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bmk.agent.tpm.commands import Exchange
from bmk.errors import PreflightRefused
from bmk.lab.machines.hardware import Firmware

SOCKET, STATE = "tpm.sock", "tpm"  # in the machine's directory
_DEVICES: dict[Firmware, str] = {"uefi": "tpm-crb", "bios": "tpm-tis"}  # so that both interfaces are tried
_PATIENCE = 20.0  # seconds until swtpm listens, or answers
_PROGRAM = ("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={STATE}")


def arguments(firmware: Firmware) -> list[str]:
    """QEMU's arguments for it."""
    device = ["-device", f"{_DEVICES[firmware]},tpmdev=tpm"]
    return ["-chardev", f"socket,id=tpm,path={SOCKET}", "-tpmdev", "emulator,id=tpm,chardev=tpm", *device]


class SoftwareTpm:
    """The TPM of the machine in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns when QEMU can connect."""
        (self._directory / STATE).mkdir(mode=0o700, exist_ok=True)
        (self._directory / SOCKET).unlink(missing_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            *_PROGRAM,
            *("--terminate", "--ctrl", f"type=unixio,path={SOCKET}"),
            cwd=self._directory,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=(self._directory / "swtpm.log").open("wb"),
        )
        await self._listening(self._process)

    async def _listening(self, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while process.returncode is None and not (self._directory / SOCKET).exists():
                    await asyncio.sleep(0.02)
        if process.returncode is not None or not (self._directory / SOCKET).exists():
            why = (self._directory / "swtpm.log").read_text(errors="replace").strip()[-300:]
            raise PreflightRefused("the machine's TPM did not start", where=str(self._directory), why=why)

    async def stop(self) -> None:
        """End the process: it ends by itself with QEMU only when QEMU had connected."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@contextlib.contextmanager
def opened(directory: Path) -> Iterator[Exchange]:
    """The TPM of the machine in `directory`, as after a restart of the machine; it is switched off at the end of the
    context.
    """
    (directory / STATE).mkdir(mode=0o700, exist_ok=True)
    ours, theirs = socket.socketpair()
    with ours, theirs, (directory / "swtpm.log").open("wb") as log:
        command = [*_PROGRAM, "--fd", str(theirs.fileno()), "--flags", "not-need-init,startup-clear"]
        process = subprocess.Popen(command, cwd=directory, pass_fds=[theirs.fileno()], stdout=log, stderr=log)
        theirs.close()
        ours.settimeout(_PATIENCE)
        try:
            yield lambda command: _exchange(ours, command)
        finally:
            ours.close()  # which ends it, after it has written its state
            process.wait()


def _exchange(channel: socket.socket, command: bytes) -> bytes:
    channel.sendall(command)
    answer = channel.recv(4096)
    while 6 <= len(answer) < int.from_bytes(answer[2:6], "big") and (more := channel.recv(4096)):
        answer += more
    return answer
