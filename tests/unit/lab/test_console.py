"""A serial console of the lab: what the machine prints reaches the log and who is connected, and typing goes back."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from bmk.lab.machines.console import Terminal


def test_output_reaches_log_and_clients_and_input_the_machine(tmp_path: Path) -> None:
    """Bytes of the device, text of the firmware, and what a person types, each to its other end."""

    async def through() -> tuple[bytes, bytes]:
        terminal = Terminal(tmp_path / "console.log", tmp_path / "console.sock")
        await terminal.open()
        reader, writer = await asyncio.open_unix_connection(tmp_path / "console.sock")
        writer.write(b"typed")
        device = os.open(terminal.slave, os.O_RDWR | os.O_NOCTTY)
        typed = await asyncio.to_thread(os.read, device, 16)  # so the client is known before anything is printed
        terminal.write("firmware\n")
        os.write(device, b"kernel\n")
        shown = await reader.readexactly(len(b"firmware\r\nkernel\n"))
        os.close(device)
        writer.close()
        return typed, shown

    typed, shown = asyncio.run(through())
    assert typed == b"typed"
    assert shown == b"firmware\r\nkernel\n" == (tmp_path / "console.log").read_bytes()
