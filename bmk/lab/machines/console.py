"""A person at a machine's serial console: both ways, until Ctrl-]."""

from __future__ import annotations

import os
import select
import socket
import sys
import termios
import tty
from pathlib import Path

from bmk.errors import Unreachable
from bmk.lab.host.sockets import short_path

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
