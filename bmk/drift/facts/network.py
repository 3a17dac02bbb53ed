"""NICs by MAC, IPv4 addresses and the default route."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bmk.drift.facts.fact import Fact, Found, Wanted


def command(_: Wanted) -> str:
    return "ip -json address show; echo; ip -json -4 route show default; echo"


def parse(lines: Sequence[str]) -> Found:
    links, routes = (json.loads(line) for line in [line for line in lines if line.strip()][:2])
    found: Found = {}
    for link in links:
        found |= _link(link)
    for route in routes:
        found["default route"] = {"gateway": route.get("gateway", "")}
    return found


def _link(link: dict[str, Any]) -> Found:
    found: Found = {}
    if link.get("link_type") == "ether" and link.get("address"):
        mac = str(link.get("permaddr") or link["address"])
        found[f"nic {mac}"] = {"up": "UP" in link.get("flags", ()), "mtu": int(link.get("mtu", 0))}
    for address in link.get("addr_info", ()):
        if address.get("family") == "inet" and address.get("local"):
            found[f"address {address['local']}"] = {"prefix": int(address["prefixlen"])}
    return found


FACT = Fact("network", command, parse)
