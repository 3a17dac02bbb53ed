"""What the routes of the boot service share: the data center, the journal, and the identity of the client."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bmk.boot.dnsmasq import base_url
from bmk.boot.event_limit import EventLimit
from bmk.boot.journal_writer import JournalWriter
from bmk.boot.neighbours import Neighbours
from bmk.boot.spec import Artifacts
from bmk.datacenter.credentials import login_line, login_sources
from bmk.datacenter.resolve import DataCenter, Host
from bmk.journal import Event, Journal

ARTIFACTS = "artifacts.json"  # below the boot directory; written by the commands that read the mirror


@dataclass(slots=True)
class RequestContext:
    """`reader` is the event loop's own connection, so that a waiting writer never delays an answer."""

    dc: DataCenter
    state: Path
    reader: Journal
    writer: JournalWriter
    now: Callable[[], float] = time.time
    limit: EventLimit[tuple[str | None, bool]] = field(default_factory=EventLimit)
    neighbours: Neighbours = field(default_factory=Neighbours)
    _by_mac: dict[str, Host] = field(default_factory=dict)
    _by_address: dict[str, Host] = field(default_factory=dict)
    _artifacts: tuple[int, Artifacts] = (0, {})

    def __post_init__(self) -> None:
        self.serve(self.dc)

    def serve(self, dc: DataCenter) -> None:
        """Replace the data center after its file changed."""
        self.dc = dc
        self._by_mac = {nic.mac: host for host in dc.hosts.values() for nic in host.nics}
        self._by_address = {str(host.address): host for host in dc.hosts.values()}

    @property
    def url(self) -> str:
        return base_url(self.dc)

    def host_by_mac(self, *macs: str) -> Host | None:
        return next((self._by_mac[mac] for mac in macs if mac in self._by_mac), None)

    def host_by_address(self, address: str) -> Host | None:
        return self._by_address.get(address)

    def speaks_for(self, client: str, host: Host) -> bool:
        """Whether a request from address `client` can come from this host. On a directly attached network the kernel's
        neighbour table has to show one of the host's MACs for it. On others it must be the host's own address, which
        DHCP gives to its MAC only. Simulated hosts of a lab on this machine have a local address.
        """
        lab = host.profile.lab
        if lab is not None and lab.kind != "vm" and client == str(self.dc.spec.deployer.address):
            return True
        mac = self.neighbours.mac(client)
        return client == str(host.address) if mac is None else mac in {nic.mac for nic in host.nics}

    def describe_client(self, client: str) -> str:
        """Where a request came from, in words."""
        mac = self.neighbours.mac(client)
        return f"from {client or 'nowhere'}, " + (f"MAC {mac}" if mac else "whose MAC the boot server cannot see")

    def artifacts(self) -> Artifacts:
        """What the mirror holds, read again when the file changed; nothing while there is none."""
        path = self.state / "boot" / ARTIFACTS
        try:
            changed = path.stat().st_mtime_ns
            if changed != self._artifacts[0]:
                self._artifacts = (changed, json.loads(path.read_text()))
        except FileNotFoundError:
            return {}
        return self._artifacts[1]

    def authorized_keys(self, host: Host) -> tuple[str, ...]:
        """The deployer's public ssh key, restricted to its addresses; empty before it was made."""
        try:
            public = (self.state / "ssh" / "id_ed25519.pub").read_text().strip()
        except FileNotFoundError:
            return ()
        return (login_line(public, login_sources(self.dc, host)),)

    async def tell(self, kind: str, text: str, host: str | None, **data: Any) -> None:
        """Journal what a machine asked for over HTTP and what it was answered. `level` in data is the event's."""
        level = data.pop("level", "info")
        await self.writer.tell(Event("http", kind, text, host=host, level=level, data=data, at=self.now()))

    async def tell_limited(self, kind: str, text: str, host: Host | None, client: str, **data: Any) -> None:
        """Like `tell`, for requests that need no proof: repetitions within a minute are only counted. Requests from the
        host's address have a limit of their own, so that others who name the host cannot use it up.
        """
        name, own = (None, False) if host is None else (host.name, self.speaks_for(client, host))
        if self.limit.admits((name, own), (kind, text, client, data.get("mac"), data.get("grant")), self.now()):
            await self.tell(kind, text, name, client=client, **data)
