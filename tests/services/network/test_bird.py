"""Real BIRDs with the role's configuration, and one neighbour that announces what is not its own."""

from __future__ import annotations

from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest

from bmk.datacenter.model import Bgp, ClusterNetwork
from bmk.datacenter.routing import neighbours
from tests.roles import render
from tests.services.network.conftest import Wire, until

pytestmark = pytest.mark.services
NODES = {"cp-1": 11, "worker-1": 21, "worker-2": 22}
DNS = "10.96.0.10"  # CoreDNS's address
STOLEN = (DNS + "/32", "10.89.1.0/24", "10.89.1.0/25", "10.89.77.0/24", "0.0.0.0/0", "192.168.7.0/24")


def network(**bgp: Any) -> ClusterNetwork:
    return ClusterNetwork(plugin="routed", pods="10.89.0.0/16", services="10.96.0.0/16", bgp=Bgp(**bgp))  # type: ignore[arg-type]


def pods(name: str) -> str:
    return f"10.89.{list(NODES).index(name) + 1}.0/24"


def configuration(name: str, of: ClusterNetwork) -> str:
    """bird.conf of a node, by the role's template, from the neighbours that bmk gives it."""
    members: Any = [
        SimpleNamespace(name=n, address=f"10.20.0.{a}", pods=pods(n), role="control_plane" if n == "cp-1" else "worker")
        for n, a in NODES.items()
    ]
    bgp = {"asn": of.bgp.asn, "peers": [str(p) for p in of.bgp.peers], "accept": [str(r) for r in of.bgp.accept]}
    variables = {
        "bmk_cluster": {"network": {"plugin": "routed", "pods": str(of.pods), "node_prefix": 24, "bgp": bgp}},
        "bmk_host": {
            "address": f"10.20.0.{NODES[name]}",
            "pods": pods(name),
            "neighbours": [asdict(n) for n in neighbours(of, members).get(name, ())],
        },
    }
    return render("cluster_network", "bird.conf.j2", variables)


def run(wire: Wire, name: str, text: str) -> None:
    """BIRD with this configuration, which it finds good."""
    file = wire.directory / f"{name}.conf"
    file.write_text(text.replace("connect retry time 5", "connect retry time 1").replace("log syslog", "log stderr"))
    wire.on(name, f"bird -p -c {file}")
    wire.start(name, "bird", "-f", "-c", str(file), "-s", f"/run/{name}.ctl", "-P", f"/run/{name}.pid")


def cluster(wire: Wire, of: ClusterNetwork, *but: str) -> None:
    """The nodes, with BIRD on all but these."""
    for name, number in NODES.items():
        wire.node(name, f"10.20.0.{number}")
    for name in NODES:
        if name not in but:
            run(wire, name, configuration(name, of))


def stealing(text: str) -> str:
    """The configuration of a node in other hands: it announces ranges of others, with what is its own."""
    routes = "".join(f"  route {range_} unreachable;\n" for range_ in STOLEN)
    return text.replace("unreachable; # each", f"unreachable;\n{routes}# each", 1)


def learned(wire: Wire, name: str) -> set[str]:
    """Destinations that BIRD put into the kernel's table of a node, but for its own."""
    lines = wire.on(name, "ip -4 -o route show proto bird").splitlines()
    return {line.split()[0] for line in lines if not line.startswith("unreachable")}


def heard(wire: Wire, name: str, neighbour: str) -> int:
    """How many routes a neighbour has announced so far, whatever became of them."""
    said = wire.on(name, f"birdc -s /run/{name}.ctl show protocols all {neighbour}", check=False)
    line = next((line for line in said.splitlines() if "Import updates" in line), ": 0")
    return int(line.partition(":")[2].split()[0])


def test_a_worker_announces_its_own_pods_and_nothing_else(wire: Wire) -> None:
    """CoreDNS's address, another's range, half of it, a default route: none enters a kernel, its own range does."""
    cluster(wire, network(), "worker-2")
    run(wire, "worker-2", stealing(configuration("worker-2", network())))
    until(lambda: heard(wire, "cp-1", "node_worker_2") > len(STOLEN), "the worker has announced everything")
    until(lambda: learned(wire, "cp-1") == {pods("worker-1"), pods("worker-2")}, "routes to the pods of both workers")
    until(lambda: learned(wire, "worker-1") == {pods("cp-1"), pods("worker-2")}, "the same on another worker")
    assert wire.on("cp-1", f"ip route get {DNS}", check=False) == ""


def test_behind_a_reflector_a_worker_announces_its_own_pods_and_nothing_else(wire: Wire) -> None:
    """Workers learn of each other through the control plane, go straight to each other, and theft ends at it."""
    of = network(reflectors=("cp-1",))
    cluster(wire, of, "worker-2")
    run(wire, "worker-2", stealing(configuration("worker-2", of)))
    until(lambda: heard(wire, "cp-1", "node_worker_2") > len(STOLEN), "the worker has announced everything")
    until(lambda: learned(wire, "worker-1") == {pods("cp-1"), pods("worker-2")}, "routes through the reflector")
    assert learned(wire, "cp-1") == {pods("worker-1"), pods("worker-2")}
    assert "via 10.20.0.22" in wire.on("worker-1", f"ip route show {pods('worker-2')}")
    assert "node_worker_2" not in configuration("worker-1", of)


ROUTER = """\
log stderr all;
router id 10.20.0.1;
protocol device {{ }}
protocol static said {{ ipv4; {routes} }}
template bgp node {{ local 10.20.0.1 as 65000; direct; ipv4 {{ import all; export all; next hop self; }}; }}
{neighbours}
"""


@pytest.mark.parametrize(("accept", "more"), [((), set()), (("0.0.0.0/0",), {"default"})])
def test_routers_announce_pods_of_nodes_and_what_the_file_lists(wire: Wire, accept: Any, more: set[str]) -> None:
    """From a router counts the whole range of a node other than this one, and what is listed; no service, no half."""
    of = network(peers=("10.20.0.1",), accept=accept)
    cluster(wire, of)
    wire.node("router", "10.20.0.1")
    routes = "".join(f"route {range_} unreachable; " for range_ in STOLEN)
    nodes = "".join(f"protocol bgp n{a} from node {{ neighbor 10.20.0.{a} as 64512; }}\n" for a in NODES.values())
    run(wire, "router", ROUTER.format(routes=routes, neighbours=nodes))
    wanted = {pods("worker-1"), pods("worker-2"), "10.89.77.0/24"} | more
    until(lambda: learned(wire, "cp-1") >= wanted, f"routes by the router: {wanted}")
    until(lambda: heard(wire, "cp-1", "tor1") >= len(STOLEN), "the router has announced everything")
    assert learned(wire, "cp-1") == wanted


def test_of_a_flood_nothing_is_kept(wire: Wire) -> None:
    """Five thousand routes of others leave as many in the node's tables as one neighbour may have: one."""
    cluster(wire, network(), "worker-2")
    many = "".join(f"  route 172.16.{n // 256}.{n % 256}/32 unreachable;\n" for n in range(5000))
    text = configuration("worker-2", network()).replace("unreachable; # each", f"unreachable;\n{many}# each", 1)
    run(wire, "worker-2", text)
    until(lambda: heard(wire, "cp-1", "node_worker_2") > 5000, "the worker has announced everything")
    until(lambda: learned(wire, "cp-1") == {pods("worker-1"), pods("worker-2")}, "the routes of both workers")
    assert "172.16" not in wire.on("cp-1", "ip route; birdc -s /run/cp-1.ctl show route")
