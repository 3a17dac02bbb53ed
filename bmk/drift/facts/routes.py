"""Routes that somebody set, besides the default one; what the kernel, DHCP and routing daemons add comes and goes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bmk.drift.facts.fact import Fact, Found, Wanted

_PLUGINS = ("cali", "cilium_", "cni", "flannel", "kube-", "lxc", "tunl", "veth", "vxlan")  # names of their devices


def command(_: Wanted) -> str:
    return "for p in static boot; do ip -json -4 route show proto $p; echo; done"


def parse(lines: Sequence[str]) -> Found:
    found: Found = {}
    for route in (route for line in lines if line.strip() for route in json.loads(line)):
        if route["dst"] != "default" and not _of_a_pod(route):
            to = route.get("gateway") or route.get("type") or "the link"
            found[f"{route['dst']} via {to}"] = {"device": route.get("dev", "")}
    return found


def _of_a_pod(route: Mapping[str, Any]) -> bool:
    """CNI plugins lead one address to one device, and ranges of other nodes to devices of their own."""
    device = str(route.get("dev", ""))
    return device.startswith(_PLUGINS) or (bool(device) and "gateway" not in route and "/" not in route["dst"])


FACT = Fact("routes", command, parse)
