"""Whose address it is, by the kernel's neighbour table: the MAC behind an IPv4 address on an attached network."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

_TABLE = Path("/proc/net/arp")
_COMPLETE = 0x2  # flag of an entry whose MAC is known
_FRESH = 1.0  # seconds for which a known answer is not asked again: reading a long table costs milliseconds


def parse(table: str) -> dict[str, str]:
    """Address -> MAC, lower case. Entries that are still being resolved are left out."""
    rows = (line.split() for line in table.splitlines()[1:])
    return {row[0]: row[3].lower() for row in rows if len(row) > 3 and int(row[2], 16) & _COMPLETE}


@dataclass(slots=True)
class Neighbours:
    """Reads the table when it must: for an address that is not in what was read last, and once a second."""

    table: Path = _TABLE
    clock: Callable[[], float] = time.monotonic
    _read: float = float("-inf")
    _known: dict[str, str] = field(default_factory=dict)

    def mac(self, address: str) -> str | None:
        """None for an address that is behind a router, of this machine, or not known."""
        if address not in self._known or self.clock() - self._read >= _FRESH:
            try:
                self._known = parse(self.table.read_text())
            except OSError:
                self._known = {}
            self._read = self.clock()
        return self._known.get(address)
