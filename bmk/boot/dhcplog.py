"""dnsmasq's log as events per host: the only trace of a machine that gets no further than DHCP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bmk.journal.quoted import plain

_DHCP = re.compile(
    r"dnsmasq-dhcp\[\d+\]: \d+ (?P<what>DHCP[A-Z]+|PXE)\((?P<link>[^)]+)\) (?:(?P<address>\d[\d.]+) )?"
    r"(?P<mac>[0-9a-f]{2}(?::[0-9a-f]{2}){5})(?: (?P<more>.*))?$"
)
# No MAC stands in this line: the address is that of the host which asks.
_WITHHELD = re.compile(r"dnsmasq-dhcp\[\d+\]: (?P<text>not using configured address (?P<address>[\d.]+) because .*)$")
_REFUSALS = {"ignored": "dhcp.ignored", "no address available": "dhcp.exhausted"}
_TFTP = re.compile(r"dnsmasq-tftp\[\d+\]: (?P<what>sent|failed sending|error .*) (?P<file>/\S+) to (?P<address>[\d.]+)")
_CHUNK = 1 << 20  # bytes read at once
_LONGEST = 300  # characters of a text: machines choose parts of it


@dataclass(frozen=True, slots=True)
class DhcpLine:
    """One line that concerns a machine. `kind` such as `dhcp.discover`; `mac` or `address` says which machine."""

    kind: str
    text: str
    mac: str | None = None
    address: str | None = None


def parse(line: str) -> DhcpLine | None:
    """The entry of a log line; None for lines about no machine."""
    if found := _DHCP.search(line):
        what, more = found["what"].removeprefix("DHCP").lower(), (found["more"] or "").strip()
        text = " ".join(filter(None, (found["what"], found["address"], "on", found["link"], more)))
        return DhcpLine(
            _REFUSALS.get(more, f"dhcp.{what}"), plain(text, _LONGEST), mac=found["mac"], address=found["address"]
        )
    if found := _WITHHELD.search(line):
        return DhcpLine("dhcp.withheld", plain(found["text"], _LONGEST), address=found["address"])
    if found := _TFTP.search(line):
        text = f"TFTP {found['what']} {Path(found['file']).name}"
        return DhcpLine("dhcp.tftp", plain(text, _LONGEST), address=found["address"])
    return None


@dataclass(slots=True)
class Tail:
    """Reads what was added to a log file since the last time; follows it through rotation and truncation."""

    path: Path
    inode: int = 0
    offset: int = 0
    _rest: bytes = field(default=b"", repr=False)

    @property
    def complete(self) -> int:
        """Offset of the first byte that no complete line has covered yet."""
        return self.offset - len(self._rest)

    def lines(self) -> Iterator[str]:
        """Complete new lines, at most a chunk of them at a time; none while the file does not exist."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return
        if found.st_ino != self.inode or found.st_size < self.offset:
            self.inode, self.offset, self._rest = found.st_ino, 0, b""
        with self.path.open("rb") as log:
            log.seek(self.offset)
            chunk = log.read(_CHUNK)
        self.offset += len(chunk)
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in whole)
