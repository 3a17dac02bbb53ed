"""Beside answering, the boot service follows dnsmasq's log, ends old grants and notices a changed data center."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from bmk.boot import grants
from bmk.boot.desk import Desk
from bmk.boot.dhcplog import Entry, Tail, parse
from bmk.boot.server import write_hosts
from bmk.datacenter.resolve import DataCenter
from bmk.errors import BmkError
from bmk.journal import Event, Journal

_EVERY = 0.25  # seconds between looks at the log
_SLOW = 8  # looks between two looks at grants and at the data center's files
_QUIET = 60.0  # seconds in which the same machine that nobody knows is journaled once
_OWNER = "@boot"  # the journal's records of the service itself


async def watch(desk: Desk, reload: Callable[[], DataCenter]) -> None:
    """Look again and again until cancelled."""
    log = DhcpWatch(desk, _resumed(desk))
    seen, looks = _stamp(desk.dc), 0
    while True:
        await log.look()
        looks += 1
        if looks % _SLOW == 0:
            await desk.recorder.run(lambda journal: grants.expire(journal, desk.now()))
            seen = await _reloaded(desk, reload, seen)
        await asyncio.sleep(_EVERY)


@dataclass(slots=True)
class DhcpWatch:
    """Turns new lines of dnsmasq's log into events. The place in the log is kept, so that a restart repeats nothing."""

    desk: Desk
    tail: Tail
    _told: dict[tuple[str, str], float] = field(default_factory=dict)

    async def look(self) -> None:
        """Journal what was logged since the last look."""
        events = [event for line in self.tail.lines() if (entry := parse(line)) and (event := self._event(entry))]
        if not events:
            return
        place = {"inode": self.tail.inode, "offset": self.tail.complete}
        await self.desk.recorder.run(lambda journal: _store(journal, events, place))

    def _event(self, entry: Entry) -> Event | None:
        host = self.desk.host_by_mac(entry.mac) if entry.mac else None
        host = host or (self.desk.host_by_address(entry.address) if entry.address and not entry.mac else None)
        data = {"mac": entry.mac, "address": entry.address}
        if host is None and not self._worth_telling(entry):
            return None
        return Event("dhcp", entry.kind, entry.text, host=host.name if host else None, data=data, at=self.desk.now())

    def _worth_telling(self, entry: Entry) -> bool:
        """Strangers ask for ever on a shared network: each is told once a minute."""
        key, now = (entry.kind, entry.mac or entry.address or ""), self.desk.now()
        if now - self._told.get(key, 0.0) < _QUIET:
            return False
        if len(self._told) > 10_000:
            self._told.clear()
        self._told[key] = now
        return True


def _resumed(desk: Desk) -> Tail:
    place = desk.reader.facts(_OWNER).get("dhcp_log", {})
    path = desk.state / "boot" / "dnsmasq.log"
    return Tail(path, place.get("inode", 0), place.get("offset", 0))


def _store(journal: Journal, events: list[Event], place: dict[str, int]) -> None:
    journal.extend(events)
    journal.record(_OWNER, "dhcp_log", place)


async def _reloaded(desk: Desk, reload: Callable[[], DataCenter], seen: int) -> int:
    """Load the data center again if its files changed, also for dnsmasq; a broken one changes nothing."""
    stamp = _stamp(desk.dc)
    if stamp == seen:
        return seen
    try:
        desk.serve(await asyncio.to_thread(reload))
        await asyncio.to_thread(write_hosts, desk.dc, desk.state)
        event = Event("bmk", "boot.reloaded", f"{desk.dc.name} was loaded again: {len(desk.dc.hosts)} hosts")
    except BmkError as error:
        text = f"the changed data center file is not valid, the old one stays in use: {error.what}"
        event = Event(
            "bmk", "boot.reload_failed", text, level="error", data={"hint": f"run bmk validate {desk.dc.name}"}
        )
    await desk.recorder.tell(event)
    return stamp


def _stamp(dc: DataCenter) -> int:
    """Newest change (ns) of any YAML file beside the data center's, where racks may lie in files of their own."""
    found = (path.stat().st_mtime_ns for path in dc.source.parent.rglob("*.yml"))
    return max(found, default=0)
