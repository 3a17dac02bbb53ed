"""Real packets from pods through the role's nftables and BIRD: who sees which source."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from bmk.ansible.manifest import host_variables
from bmk.datacenter.inventory import ansible_inventory
from bmk.datacenter.load import load_datacenter
from tests.roles import render
from tests.services.network.conftest import Wire, until

pytestmark = pytest.mark.services
NODES = {"cp-1": "10.20.0.11", "worker-1": "10.20.0.21"}
PODS = {"cp-1": "10.89.1.2", "worker-1": "10.89.2.2"}
GATEWAY, DEPLOYER, OUTSIDE, KNOWN = "10.20.0.1", "10.20.0.2", "192.0.2.7", "198.51.100.7"
FILE = """\
apiVersion: bmk.dev/v1
kind: DataCenter
metadata: {name: out}
spec:
  deployer: {address: 10.20.0.2}
  networks:
    nodes: {cidr: 10.20.0.0/24, gateway: 10.20.0.1, dns: [10.20.0.2]}
    bmc: {cidr: 10.21.0.0/24}
  profiles:
    box: {bmc: {kind: redfish, secret: bmc/x}, disk: {size: ">=1GB"}}
  racks:
    r1:
      hosts:
        - {name: cp-1, profile: box, serial: S1, nics: [{mac: "52:54:00:00:00:01"}], address: 10.20.0.11,
           bmc: {address: 10.21.0.11}}
        - {name: worker-1, profile: box, serial: S2, nics: [{mac: "52:54:00:00:00:02"}], address: 10.20.0.21,
           bmc: {address: 10.21.0.21}}
  clusters:
    apps:
      kubernetes: {version: 1.37.2}
      control_plane: {hosts: [cp-1]}
      workers: {hosts: [worker-1]}
      network: {plugin: routed, pods: 10.89.0.0/16, services: 10.96.0.0/16SETTING}
"""
ADDRESSES = "pods: {apps: {cp-1: 10.89.1.0/24, worker-1: 10.89.2.0/24}}\n"
ROUTER = """\
log stderr all;
router id 10.20.0.1;
protocol device { }
protocol static said { ipv4; route 0.0.0.0/0 unreachable; }
protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }
template bgp node { local 10.20.0.1 as 65000; direct; ipv4 { import all; export all; next hop self; }; }
protocol bgp cp from node { neighbor 10.20.0.11 as 64512; }
protocol bgp worker from node { neighbor 10.20.0.21 as 64512; }
"""
# Says to whoever connects from where they come.
ECHO = """
import socket
server = socket.create_server(("", 8000))
while True:
    client, (address, _) = server.accept()
    client.sendall(address.encode())
    client.close()
"""
ASK = "import socket; print(socket.create_connection(('{}', 8000), 5).makefile().read())"


@pytest.fixture
def hall(wire: Wire) -> Wire:
    """Two nodes with a pod each, the deployer beside them, and behind the gateway two machines outside."""
    wire.node("gateway", GATEWAY)
    wire.node("deployer", DEPLOYER)
    for name, address in NODES.items():
        wire.node(name, address)
        _pod(wire, name)
    for name, address in (("outside", OUTSIDE), ("known", KNOWN)):
        wire.cable(("gateway", f"{address.rpartition('.')[0]}.1"), (name, address))
        wire.on(name, f"ip route add default via {address.rpartition('.')[0]}.1")
    for name in ("gateway", *NODES):
        wire.on(name, "sysctl -qw net.ipv4.ip_forward=1")
    for name in ("deployer", *NODES):
        wire.on(name, f"ip route add default via {GATEWAY}")
    for name in ("deployer", "outside", "known", "pod-worker-1", "worker-1"):
        wire.start(name, sys.executable, "-c", ECHO)
        until(lambda n=name: ":8000" in wire.on(n, "ss -Hltn"), f"{name} listens")  # type: ignore[misc]
    return wire


def _pod(wire: Wire, node: str) -> None:
    """As the plug-in `ptp` does it: a line of its own, and the node is the way to everything."""
    pod, first = PODS[node], f"{PODS[node].rpartition('.')[0]}.1"
    wire.cable((node, first), (f"pod-{node}", pod), 32)
    line = f"line{wire.cables}"
    wire.on(node, f"ip route add {pod}/32 dev {line}")
    wire.on(f"pod-{node}", f"ip route add {first}/32 dev {line}; ip route add default via {first}")


def converge(wire: Wire, setting: str) -> None:
    """Both nodes with the role's files for this setting, as the role loads them."""
    directory = wire.directory / "dc"
    directory.mkdir()
    (directory / "dc.yml").write_text(FILE.replace("SETTING", setting))
    (directory / "addresses.yml").write_text(ADDRESSES)
    inventory = ansible_inventory(load_datacenter(directory), {}, {})
    for name in NODES:
        files = {file: written(wire, name, file, inventory) for file in ("bird.conf", "masquerade.nft")}
        wire.on(name, f"nft -f {files['masquerade.nft']}")
        wire.start(
            name, "bird", "-f", "-c", str(files["bird.conf"]), "-s", f"/run/{name}.ctl", "-P", f"/run/{name}.pid"
        )


def written(wire: Wire, node: str, file: str, inventory: dict[str, Any]) -> Path:
    """A file of the role for a node."""
    path = wire.directory / f"{node}.{file}"
    text = render("cluster_network", f"{file}.j2", host_variables(inventory, node))
    path.write_text(text.replace("connect retry time 5", "connect retry time 1").replace("log syslog", "log stderr"))
    return path


def seen(wire: Wire, address: str, node: str = "cp-1") -> str:
    """As whom the pod of a node is seen there; nothing when no answer comes back."""
    return wire.on(f"pod-{node}", f'{sys.executable} -c "{ASK.format(address)}" 2>/dev/null', check=False).strip()


def test_outside_everybody_sees_the_node_and_inside_everybody_sees_the_pod(hall: Wire) -> None:
    """Behind the gateway and beside the nodes: the node's address. Another pod, another node: the pod's own."""
    converge(hall, "")
    for node, address in NODES.items():
        assert seen(hall, OUTSIDE, node) == address
        assert seen(hall, DEPLOYER, node) == address
    until(lambda: seen(hall, PODS["worker-1"]) == PODS["cp-1"], "another pod sees the pod")
    assert seen(hall, NODES["worker-1"]) == PODS["cp-1"]


def test_an_exception_sees_the_pod(hall: Wire) -> None:
    """A range that has a way back is told who asks; the rest sees the node still."""
    converge(hall, ", masquerade_except: [198.51.100.0/24]")
    hall.on("gateway", f"ip route add 10.89.1.0/24 via {NODES['cp-1']}")
    assert seen(hall, KNOWN) == PODS["cp-1"]
    assert seen(hall, OUTSIDE) == NODES["cp-1"]


def test_where_a_router_learns_the_ranges_everybody_sees_the_pod(hall: Wire) -> None:
    """BIRD on the gateway is a peer: nothing is masqueraded by itself, and answers find their way."""
    (hall.directory / "router.conf").write_text(ROUTER)
    hall.start("gateway", "bird", "-f", "-c", f"{hall.directory}/router.conf", "-s", "/run/r.ctl", "-P", "/run/r.pid")
    converge(hall, ", bgp: {peers: [10.20.0.1]}")
    for node in NODES:
        until(lambda n=node: seen(hall, OUTSIDE, n) == PODS[n], f"outside sees the pod of {node}")  # type: ignore[misc]
        assert seen(hall, DEPLOYER, node) == PODS[node]
    until(lambda: seen(hall, PODS["worker-1"]) == PODS["cp-1"], "another pod sees the pod, by way of the router")
    assert "masquerade" not in hall.on("cp-1", "nft list ruleset")


def test_without_a_router_and_without_masquerading_nothing_comes_back(hall: Wire) -> None:
    """Why it is on by itself: who is outside does not know the way to pods."""
    converge(hall, ", masquerade: off")
    assert seen(hall, OUTSIDE) == ""
    assert seen(hall, DEPLOYER) == ""


def test_other_tables_are_left_alone(hall: Wire) -> None:
    """Loading, loading again and taking away: kube-proxy's table and that of NetworkPolicy stay as they are."""
    for table in ("ip kube-proxy", "inet kube-network-policies"):
        hall.on("cp-1", f"nft 'add table {table}; add chain {table} its {{ counter; }}' || nft add table {table}")
    before = hall.on("cp-1", "nft list ruleset")
    converge(hall, "")
    once = hall.on("cp-1", "nft list ruleset")
    hall.on("cp-1", f"nft -f {hall.directory}/cp-1.masquerade.nft")
    assert hall.on("cp-1", "nft list ruleset") == once
    assert before.strip() in once
    unit = render("cluster_network", "masquerade.service.j2", {})
    stop = next(line.partition("=-")[2] for line in unit.splitlines() if line.startswith("ExecStop"))
    hall.on("cp-1", stop)
    assert hall.on("cp-1", "nft list ruleset") == before
