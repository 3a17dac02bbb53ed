"""Serial consoles of the lab: a pseudo terminal for machines without QEMU, and a person's terminal connected to one.

Output goes to a log file and to every client. Virtual machines need only the second part: QEMU has its own terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import socket
import sys
import termios
import tty
from pathlib import Path

from bmk.errors import Unreachable
from bmk.lab.host.sockets import short_path


class Terminal:
    """`slave` is the device for the machine.

    Output is appended to `log`; clients of `socket` read it and type into it.
    """

    def __init__(self, log: Path, socket: Path) -> None:
        self._log_path, self._socket = log, socket
        self._master, self._held = (
            os.openpty()
        )  # the slave stays open: else a reader sees end of file whenever the machine's process ends
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
        """Append output of the firmware, before an operating system runs."""
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
                with contextlib.suppress(BlockingIOError):  # nobody reads on the other side: the input is dropped
                    os.write(self._master, data)
        finally:
            self._clients.discard(writer)
            writer.close()


_ESCAPE = b"\x1d"  # Ctrl-], as telnet and virsh have it


def attach(directory: Path) -> None:
    """Connect this terminal to the console of the machine in `directory` (lab/machines/<name>)."""
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            with short_path(directory / "console.sock") as path:
                sock.connect(path)
        except OSError as error:
            raise Unreachable("the machine is off", where=directory.name, why=str(error)) from error
        _raw(sock)


def _raw(sock: socket.socket) -> None:
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    tty.setraw(terminal)
    try:
        _pump(sock, terminal)
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _pump(sock: socket.socket, terminal: int) -> None:
    while True:
        ready, _, _ = select.select([sock.fileno(), terminal], [], [])
        if sock.fileno() in ready:
            data = sock.recv(65536)
            if not data:
                return
            os.write(sys.stdout.fileno(), data)
        if terminal in ready:
            typed = os.read(terminal, 4096)
            if not typed or _ESCAPE in typed:
                return
            sock.sendall(typed)
