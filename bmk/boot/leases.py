"""Stale leases: while a NIC that is gone has a lease, dnsmasq gives its address to no other. Such a lease is released
in the name of that NIC (RFC 2131, DHCPRELEASE): dnsmasq is not restarted for a host, and its file of leases is its own.
The message names dnsmasq's own address as server, so other servers ignore it.
"""

from __future__ import annotations

import re
import secrets
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from bmk.boot.request_context import RequestContext
from bmk.datacenter.resolve import Host
from bmk.journal import Event

_LEASE = re.compile(r"^\d+ (?P<mac>[0-9a-f]{2}(?::[0-9a-f]{2}){5}) (?P<address>[\d.]+) ", re.MULTILINE)
_HEAD = struct.Struct("!BBBBIHH4s4s4s4s16s192x4s")  # RFC 2131: op to cookie
_REQUEST, _ETHERNET, _COOKIE, _PORT, _LEAST = 1, 1, b"\x63\x82\x53\x63", 67, 300
_NOBODY = IPv4Address(0)
_RELEASE, _SERVER_ID, _END = bytes([53, 1, 7]), bytes([54, 4]), b"\xff"


@dataclass(frozen=True, slots=True)
class Lease:
    """The address of `host`, leased to a NIC that is not the one it boots from."""

    host: str
    mac: str
    address: str
    relay: IPv4Address


def stale(text: str, owner: Callable[[str], Host | None], server: IPv4Address) -> Iterator[Lease]:
    """Leases in dnsmasq's file that keep hosts from their addresses. `owner`: the host of an address. Pure."""
    for found in _LEASE.finditer(text):
        host = owner(found["address"])
        if host is not None and found["mac"] != host.mac:
            yield Lease(host.name, found["mac"], found["address"], _relay(host, server))


def message(lease: Lease, server: IPv4Address) -> bytes:
    """The DHCPRELEASE of the NIC. Pure but for its random transaction number.

    Behind a relay that is the server's name for it (`dhcp-proxy` in bmk/boot/dnsmasq.py).
    """
    known_as = server if lease.relay == _NOBODY else lease.relay
    addresses = (part.packed for part in (IPv4Address(lease.address), _NOBODY, _NOBODY, lease.relay))
    hardware = bytes.fromhex(lease.mac.replace(":", ""))
    head = _HEAD.pack(_REQUEST, _ETHERNET, len(hardware), 0, secrets.randbits(32), 0, 0, *addresses, hardware, _COOKIE)
    return (head + _RELEASE + _SERVER_ID + known_as.packed + _END).ljust(_LEAST, b"\0")


def _relay(host: Host, server: IPv4Address) -> IPv4Address:
    """The relay of the host's network; none when the server is attached to it."""
    relays = host.network.dhcp.relays if host.network.dhcp else ()
    return _NOBODY if server in host.network.cidr or not relays else relays[0]


@dataclass(slots=True)
class LeaseWatch:
    """Reads dnsmasq's leases and releases stale ones. A lost message is sent again at the next look."""

    context: RequestContext
    _told: set[Lease] = field(default_factory=set)

    async def look(self) -> None:
        """Each lease is journaled once, as long as it exists."""
        context, server = self.context, self.context.dc.spec.deployer.address
        found = set(stale(self._read(), context.host_by_address, server))
        for lease in found:
            _give_back(lease, server)
        news = [_event(lease, context.now()) for lease in sorted(found - self._told, key=lambda one: one.address)]
        self._told = found
        if news:
            await context.writer.run(lambda journal: journal.extend(news))

    def _read(self) -> str:
        try:
            return (self.context.state / "boot" / "dnsmasq.leases").read_text(errors="replace")
        except FileNotFoundError:
            return ""


def _give_back(lease: Lease, server: IPv4Address) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        channel.sendto(message(lease, server), (str(server), _PORT))


def _event(lease: Lease, now: float) -> Event:
    text = f"{lease.address} was leased to {lease.mac}, which is not the NIC of {lease.host} that boots: given back"
    data = {"mac": lease.mac, "address": lease.address}
    return Event("dhcp", "lease.released", text, lease.host, level="warning", data=data, at=now)
