"""The MAC of an IPv4 address on an attached network, from the kernel's neighbour table."""

from __future__ import annotations

import fcntl
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

_DEVICES = Path("/proc/self/net/dev")  # two lines of heading, then `name: counters`; of this process' network namespace
_GET_NEIGHBOUR, _GET_ADDRESS = 0x8954, 0x8915  # SIOCGARP, SIOCGIFADDR
_NEIGHBOUR = struct.Struct("=HH4s8x16xi16x16s")  # struct arpreq: address, MAC, flags, mask, device
_COMPLETE = 0x2  # flag of an entry whose MAC is known
_LINKS_FOR = 5.0  # seconds for which the list of attached networks is not asked again


@dataclass(slots=True)
class Neighbours:
    """Asks the kernel for each entry; nothing is cached."""

    clock: Callable[[], float] = time.monotonic
    _channel: socket.socket = field(default_factory=lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    _links: list[bytes] = field(default_factory=list)
    _listed: float = float("-inf")

    def mac(self, address: str) -> str | None:
        """Lower case; None for an address that is behind a router, of this machine, or not known."""
        try:
            packed = socket.inet_aton(address)
        except OSError:
            return None
        answers = (self._ask(packed, link) for link in self._attached())
        return next((mac for mac in answers if mac), None)

    def _ask(self, address: bytes, link: bytes) -> str | None:
        asked = _NEIGHBOUR.pack(socket.AF_INET, 0, address, 0, link)
        try:
            answer = fcntl.ioctl(self._channel, _GET_NEIGHBOUR, asked)
        except OSError:
            return None
        return answer[18:24].hex(":") if _NEIGHBOUR.unpack(answer)[3] & _COMPLETE else None

    def _attached(self) -> list[bytes]:
        """Network devices that have an IPv4 address, and neighbours."""
        if self.clock() - self._listed >= _LINKS_FOR:
            self._links = [name for name in _devices() if name != b"lo" and self._has_address(name)]
            self._listed = self.clock()
        return self._links

    def _has_address(self, link: bytes) -> bool:
        try:
            fcntl.ioctl(self._channel, _GET_ADDRESS, struct.pack("16s16x8x", link))
        except OSError:
            return False
        return True


def _devices() -> list[bytes]:
    """Names of all network devices. Not by if_nameindex(): that opens a netlink socket, which the service may not."""
    return [line.partition(b":")[0].strip() for line in _DEVICES.read_bytes().splitlines()[2:]]
