"""QEMU's machine protocol over a socket: commands with their answers, events to a callback."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any

from bmk.errors import Unreachable

Events = Callable[[str, dict[str, Any]], None]
_PATIENCE = 30.0  # seconds for one answer; emulated machines on a loaded controller are slow


class Qmp:
    """One connection. `on_event(name, data)` is called in the loop's thread."""

    def __init__(self, on_event: Events) -> None:
        self._on_event = on_event
        self._answer: asyncio.Future[dict[str, Any]] | None = None
        self._turn = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    async def connect(self, sock: socket.socket) -> None:
        """Take over the connected socket and leave the negotiation mode."""
        reader, self._writer = await asyncio.open_connection(sock=sock, limit=2**20)
        greeting = await asyncio.wait_for(reader.readline(), _PATIENCE)
        if not greeting:
            raise Unreachable("QEMU ended before it spoke", where="QMP")
        self._reading = asyncio.create_task(self._read(reader))
        await self.command("qmp_capabilities")

    async def command(self, name: str, /, **arguments: Any) -> Any:
        """The command's return value; raises Unreachable when QEMU refuses or is gone."""
        async with self._turn:
            if self._writer is None or (self._reading is not None and self._reading.done()):
                raise Unreachable(f"the machine is gone, so {name} cannot be done", where="QMP")
            self._answer = asyncio.get_running_loop().create_future()
            self._writer.write(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
            answer = await asyncio.wait_for(self._answer, _PATIENCE)
        if "error" in answer:
            raise Unreachable(f"QEMU refused {name}", where="QMP", why=answer["error"].get("desc", ""))
        return answer["return"]

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            message = json.loads(line)
            if "event" in message:
                self._on_event(message["event"], message.get("data", {}))
            elif self._answer is not None and not self._answer.done():
                self._answer.set_result(message)
        if self._answer is not None and not self._answer.done():
            self._answer.set_result({"error": {"desc": "the machine went away"}})

    async def ended(self) -> None:
        """Return when the last event was read: QEMU's process may end earlier."""
        if self._reading is not None:
            await asyncio.wait([self._reading])

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._reading is not None:
            self._reading.cancel()
