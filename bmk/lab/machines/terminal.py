"""A serial console that the supervisor itself holds: a pseudo terminal whose output goes to a log file and to whoever
is connected.

Virtual machines need none of this: QEMU does the same by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import tty
from pathlib import Path

from bmk.lab.host.sockets import short_path


class Terminal:
    """`slave` is the device for the machine.

    Output is appended to `log`; clients of `socket` read it and type into it.
    """

    def __init__(self, log: Path, socket: Path) -> None:
        self._log_path, self._socket = log, socket
        self._master, self._held = os.openpty()  # the slave stays open, or a reader would see the end at every exit
        tty.setraw(self._held)
        self.slave = Path(os.ttyname(self._held))
        self._clients: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        os.set_blocking(self._master, False)
        asyncio.get_running_loop().add_reader(self._master, self._readable)
        self._socket.unlink(missing_ok=True)
        with short_path(self._socket) as path:
            self._server = await asyncio.start_unix_server(self._client, path)

    def write(self, text: str) -> None:
        """What the firmware prints, before there is an operating system."""
        self._out(text.replace("\n", "\r\n").encode())

    def _readable(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EIO):
                raise
            return
        self._out(data)

    def _out(self, data: bytes) -> None:
        with self._log_path.open("ab") as log:
            log.write(data)
        for client in self._clients:
            client.write(data)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            while data := await reader.read(4096):
                with contextlib.suppress(BlockingIOError):  # nobody reads on the other side: typed into the void
                    os.write(self._master, data)
        finally:
            self._clients.discard(writer)
            writer.close()
