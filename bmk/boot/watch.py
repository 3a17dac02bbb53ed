"""Background tasks of the boot service: dnsmasq's log and leases, expired grants, changed files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bmk.boot import grants
from bmk.boot.dhcplog import DhcpLine, Tail, parse
from bmk.boot.event_limit import EventLimit
from bmk.boot.leases import LeaseWatch
from bmk.boot.nonces import Nonces
from bmk.boot.request_context import RequestContext
from bmk.boot.server import write_hosts
from bmk.boot.supervise import OWNER, Work
from bmk.datacenter.resolve import DataCenter
from bmk.errors import BmkError
from bmk.journal import Event, Journal

_EVERY = 0.25  # seconds between looks at the log
_SELDOM = 2.0  # seconds between looks at grants, at the data center's files, and at what was only counted
_DHCP_EACH = 100  # messages of one host that are journaled in a minute: a boot has about twenty

Stamp = frozenset[tuple[str, int, int, int]]


def tasks(context: RequestContext, reload: Callable[[], DataCenter]) -> dict[str, Work]:
    """The background tasks by name; each runs until cancelled, and continues where it was when it is restarted."""
    changes = FileWatcher(context, reload)
    return {
        "dhcp-log": lambda: again(_EVERY, DhcpWatch(context, _resumed(context)).look),
        "leases": lambda: again(_SELDOM, LeaseWatch(context).look),
        "grants": lambda: again(_SELDOM, lambda: _expire(context)),
        "files": lambda: again(_SELDOM, changes.look),
        "repeats": lambda: again(_SELDOM, lambda: _tell_repeats(context)),
    }


async def again(seconds: float, look: Callable[[], Awaitable[None]]) -> None:
    """Do it for ever, with that pause."""
    while True:
        await look()
        await asyncio.sleep(seconds)


async def _expire(context: RequestContext) -> None:
    def over(journal: Journal) -> None:
        grants.expire(journal, context.now())
        Nonces.of(journal).sweep(journal, context.now())

    await context.writer.run(over)


async def _tell_repeats(context: RequestContext) -> None:
    for (host, _), count in context.limit.roll_over(context.now()):
        text = f"{count} more questions within a minute were only counted"
        await context.tell("boot.repeated", text, host, level="warning", count=count)


@dataclass(slots=True)
class DhcpWatch:
    """Turns new lines of dnsmasq's log into events. The place in the log is kept, so that a restart repeats nothing.

    Unknown machines may ask for ever on a shared network: a message of each is journaled once a minute, and few of all
    together. Of a known host every message is, up to a number that no boot reaches.
    """

    context: RequestContext
    tail: Tail
    _strangers: EventLimit[str | None] = field(default_factory=EventLimit)
    _hosts: EventLimit[str | None] = field(default_factory=lambda: EventLimit(most=_DHCP_EACH))

    async def look(self) -> None:
        """Journal what was logged since the last look."""
        events = [event for line in self.tail.lines() if (entry := parse(line)) and (event := self._event(entry))]
        events += self._repeats()
        place = {"inode": self.tail.inode, "offset": self.tail.complete}
        if events:
            await self.context.writer.run(lambda journal: _store(journal, events, place))

    def _event(self, entry: DhcpLine) -> Event | None:
        host = self.context.host_by_mac(entry.mac) if entry.mac else None
        host = host or (self.context.host_by_address(entry.address) if entry.address and not entry.mac else None)
        data, now = {"mac": entry.mac, "address": entry.address}, self.context.now()
        if host is None:
            admitted = self._strangers.admits(None, (entry.kind, entry.mac or entry.address), now)
        else:
            admitted = self._hosts.admits(host.name, object(), now)
        if not admitted:
            return None
        return Event("dhcp", entry.kind, entry.text, host.name if host else None, data=data, at=now)

    def _repeats(self) -> list[Event]:
        now = self.context.now()
        counts = [*self._strangers.roll_over(now), *self._hosts.roll_over(now)]
        text = "{} more DHCP messages within a minute were only counted"
        return [
            Event("dhcp", "dhcp.repeated", text.format(count), host, data={"count": count}, at=now)
            for host, count in counts
        ]


def _resumed(context: RequestContext) -> Tail:
    place = context.reader.facts(OWNER).get("dhcp_log", {})
    path = context.state / "boot" / "dnsmasq.log"
    return Tail(path, place.get("inode", 0), place.get("offset", 0))


def _store(journal: Journal, events: list[Event], place: dict[str, int]) -> None:
    with journal.transaction():
        journal.extend(events)
        journal.record(OWNER, "dhcp_log", place)


class FileWatcher:
    """Loads the data center again when its files changed, also for dnsmasq; a broken one changes nothing."""

    def __init__(self, context: RequestContext, reload: Callable[[], DataCenter]) -> None:
        self._context, self._reload = context, reload
        self._seen = stamp(context.dc.source.parent)

    async def look(self) -> None:
        """Any failure but an invalid file is tried again at the next look: the change is not lost."""
        context = self._context
        now = await asyncio.to_thread(stamp, context.dc.source.parent)
        if now == self._seen:
            return
        try:
            context.serve(await asyncio.to_thread(self._reload))
            await asyncio.to_thread(write_hosts, context.dc, context.state)
            event = Event("bmk", "boot.reloaded", f"{context.dc.name} was loaded again: {len(context.dc.hosts)} hosts")
        except BmkError as error:
            text = f"the changed data center file is not valid, the old one stays in use: {error.what}"
            data = {"hint": f"run bmk validate {context.dc.name}"}
            event = Event("bmk", "boot.reload_failed", text, level="error", data=data)
        await context.writer.tell(event)
        self._seen = now


def stamp(directory: Path) -> Stamp:
    """Path, time, size and inode of all YAML files below a data center's directory: racks may have files of their own.

    Hidden files belong to editors. A file that vanishes or is unreadable meanwhile is no error.
    """
    found = set()
    for parent, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.endswith(".yml") and not name.startswith("."):
                with suppress(OSError):
                    seen = Path(parent, name).stat()
                    found.add((str(Path(parent, name)), seen.st_mtime_ns, seen.st_size, seen.st_ino))
    return frozenset(found)
