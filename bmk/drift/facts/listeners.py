"""Who listens for others, on TCP and UDP; loopback is the host's own affair."""

from __future__ import annotations

from collections.abc import Sequence

from bmk.drift.facts.fact import Fact, Found, Wanted

_HANDED_OUT = 32768  # the first of net.ipv4.ip_local_port_range
_LOOPBACK = ("127.", "[::1]", "::1", "[::ffff:127.")


def command(_: Wanted) -> str:
    return "ss -Hltunp"


def parse(lines: Sequence[str]) -> Found:
    found: Found = {}
    for line in lines:
        parts = line.split()
        if len(parts) < 6 or parts[1] not in ("LISTEN", "UNCONN"):
            raise ValueError(f"not a listener: {line[:80]!r}")
        protocol, port = parts[0], parts[4].rpartition(":")[2]
        if not parts[4].startswith(_LOOPBACK) and not (protocol == "udp" and _asks(int(port))):
            process = parts[6].partition('(("')[2].partition('"')[0] if len(parts) > 6 else ""
            # without the address: one that moves between hosts would look like a new listener
            found[f"{protocol} {port} {process}".rstrip()] = {"process": process}
    return found


def _asks(port: int) -> bool:
    """A UDP port on which somebody waits for an answer: DHCP's clients, and those that the kernel hands out."""
    return port in (68, 546) or port >= _HANDED_OUT


FACT = Fact("listeners", command, parse)
