"""Control and console sockets in directories of any depth."""

from __future__ import annotations

import socket
from pathlib import Path

from bmk.lab.host.sockets import short_path


def test_a_path_longer_than_the_kernel_allows(tmp_path: Path) -> None:
    """A state directory with a long path works:

    107 bytes are the kernel's limit for the name, not ours for the place.
    """
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        with short_path(deep / "control.sock") as name:
            server.bind(name)
        server.listen()
        with short_path(deep / "control.sock") as name:
            client.connect(name)
    assert (deep / "control.sock").is_socket()
