"""NICs, addresses and routes, the table by which pods leave the cluster, and who listens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bmk.drift.facts.fact import Fact, Found, attributes, columns
from bmk.drift.kind import Rule, by_play


def _parse_network(lines: Sequence[str]) -> Found:
    """NICs by MAC, IPv4 addresses and the default route."""
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


NETWORK = Fact(
    name="network",
    command=lambda _: "ip -json address show; echo; ip -json -4 route show default; echo",
    parse=_parse_network,
    next="bmk console {dc} {where}",
    rules=(
        Rule("default route", "*", "breaking"),
        Rule("nic *", "mtu", "degraded"),
        Rule("nic *", "*", "degraded", "cable, switch port or NIC"),
        Rule("*", "*", "breaking"),
    ),
)

_PLUGINS = ("cali", "cilium_", "cni", "flannel", "kube-", "lxc", "tunl", "veth", "vxlan")  # names of their devices


def _parse_routes(lines: Sequence[str]) -> Found:
    """Routes that somebody set, besides the default one; those of the kernel, DHCP and routing daemons change often."""
    found: Found = {}
    for route in (route for line in lines if line.strip() for route in json.loads(line)):
        if route["dst"] != "default" and not _of_a_pod(route):
            to = route.get("gateway") or route.get("type") or "the link"
            found[f"{route['dst']} via {to}"] = {"device": route.get("dev", "")}
    return found


def _of_a_pod(route: Mapping[str, Any]) -> bool:
    """CNI plug-ins route one address to one device, and ranges of other nodes to devices of their own."""
    device = str(route.get("dev", ""))
    return device.startswith(_PLUGINS) or (bool(device) and "gateway" not in route and "/" not in route["dst"])


ROUTES = Fact(
    name="routes",
    command=lambda _: "for p in static boot; do ip -json -4 route show proto $p; echo; done",
    parse=_parse_routes,
    baseline=attributes("device"),
    closed=("*",),
    next="bmk ssh {dc} {where} ip route",
    rules=(Rule("*", "*", "security", "leads traffic another way"),),
)

_TABLE = "inet bmk-masquerade"  # other tables are kube-proxy's, and change all the time
_DIGEST = 'printf %s "$rules" | sha256sum | cut -d" " -f1'

NFTABLES = Fact(
    name="nftables",
    command=lambda _: f"rules=$(nft -s list table {_TABLE}) && printf '{_TABLE}\\t%s\\n' \"$({_DIGEST})\"",
    parse=lambda lines: {name: {"rules": rules} for name, rules in (columns(line, 2) for line in lines)},
    baseline=attributes("rules"),
    repair=by_play,
    restarts="bmk-masquerade",
    rules=(Rule("*", "*", "breaking", "masquerading of pods differs from dc.yml"),),
)

_EPHEMERAL = 32768  # the first port of net.ipv4.ip_local_port_range
_LOOPBACK = ("127.", "[::1]", "::1", "[::ffff:127.")
# Kubernetes starts and stops these as it needs them, on ports of their own.
_KUBERNETES = (
    (10250, "kubelet"),
    (10249, "kube-proxy"),
    (10256, "kube-proxy"),
    (6443, "kube-apiserver"),
    (6443, "haproxy"),
    (2379, "etcd"),
    (2380, "etcd"),
    (2381, "etcd"),
    (10257, "kube-controller"),
    (10259, "kube-scheduler"),
)


def _parse_listeners(lines: Sequence[str]) -> Found:
    """Who listens for other hosts, on TCP and UDP."""
    found: Found = {}
    for line in lines:
        parts = line.split()
        if len(parts) < 6 or parts[1] not in ("LISTEN", "UNCONN"):
            raise ValueError(f"not a listener: {line[:80]!r}")
        protocol, port = parts[0], parts[4].rpartition(":")[2]
        if not parts[4].startswith(_LOOPBACK) and not (protocol == "udp" and _is_client(int(port))):
            process = parts[6].partition('(("')[2].partition('"')[0] if len(parts) > 6 else ""
            # without the address: one that moves between hosts would look like a new listener
            found[f"{protocol} {port} {process}".rstrip()] = {"process": process}
    return found


def _is_client(port: int) -> bool:
    """A UDP port on which a client waits for an answer: DHCP's, and those that the kernel assigns."""
    return port in (68, 546) or port >= _EPHEMERAL


LISTENERS = Fact(
    name="listeners",
    command=lambda _: "ss -Hltunp",
    parse=_parse_listeners,
    baseline=dict,
    may_vanish=True,
    closed=("*",),
    allowed=frozenset(f"tcp {port} {process}" for port, process in _KUBERNETES),
    next="bmk ssh {dc} {where} ss -tulnp",
    rules=(Rule("*", "*", "security", "answers whoever can reach the host"),),
)
