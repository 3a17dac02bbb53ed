"""What a cache of names on each node could save: CoreDNS on a pod's own node against CoreDNS on another, turn by turn.

    sudo python bench/names.py [--dc inventories/lab-ha/dc.yml] [--names 300]

A cache on a node is CoreDNS with its plug-in `cache` there: what it can save is the way to another node. The cluster is
up. From the network namespace of a pod on a node that has a CoreDNS, one datagram and its answer at a time: a name of
the cluster and one from outside (which CoreDNS has cached after the first question), asked of the CoreDNS there, of the
one on another node, and of the service's address, as pods do.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
# Runs on a node, in a pod's network namespace: medians and 99th percentiles in milliseconds, by name and server.
PROGRAM = """
import json, socket, statistics, struct, sys, time
servers, names, count = json.loads(sys.argv[1])
def ask(server, name, number):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    question = struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, 1, 1)
    began = time.perf_counter()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:  # another port each time, as resolvers do
        channel.settimeout(10)
        channel.connect((server, 53))
        channel.send(question)
        answer = channel.recv(4096)
    took = time.perf_counter() - began
    assert answer[:2] == question[:2] and answer[3] & 15 == 0 and answer[6:8] != bytes(2), (server, name, answer)
    return took * 1000
taken = {f"{name} {where}": [] for name in names for where in servers}
for number in range(count + 10):
    for name in names:
        for where, server in servers.items():
            took = ask(server, name, number)
            if number >= 10:
                taken[f"{name} {where}"].append(took)
print(json.dumps({k: [statistics.median(v), statistics.quantiles(v, n=100)[98]] for k, v in taken.items()}))
"""


def main() -> None:
    """One node after the other."""
    from bmk.cluster import smoke
    from bmk.cluster.api import Api, wait_for
    from bmk.live.workspace import open_workspace

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dc", default="lab-ha")
    parser.add_argument("--names", type=int, default=300)
    asked = parser.parse_args()
    workspace = open_workspace(asked.dc)
    host = next(h for h in workspace.dc.hosts.values() if h.cluster)
    names = ["kubernetes.default.svc.cluster.local", "deployer.bmk.test"]
    image = f"{workspace.dc.spec.deployer.address}:{workspace.dc.spec.deployer.registry_port}/smoke:1"
    with Api(workspace.services.kubeconfig(host.cluster or "")) as api:
        dns = {str(p.node): str(p.ip) for p in api.pods.states("kube-system", {"k8s-app": "kube-dns"})}
        service = api.pods.service_address("kube-system", "kube-dns")
        try:
            api.create(smoke.namespace_manifest())
            for node in dns:
                wait_for(lambda n=node: created(api, smoke.pod_manifest(n, image)), 60, "a pod is taken")  # type: ignore[misc]
            wait_for(lambda: all(p.ready for p in api.pods.states(smoke.NAMESPACE)), 120, "the pods run")
            for node, here in dns.items():
                other = next(address for name, address in dns.items() if name != node)
                servers = {"here": here, "on another node": other, "at the service": service}
                show(node, from_pod(workspace, node, [servers, names, asked.names]))
        finally:
            api.pods.delete_namespace(smoke.NAMESPACE)


def created(api: Any, manifest: dict[str, Any]) -> bool:
    """False while the namespace has no service account."""
    from bmk.errors import BmkError

    try:
        api.create(manifest)
    except BmkError:
        return False
    return True


def from_pod(workspace: Any, node: str, case: list[Any]) -> dict[str, list[float]]:
    """The figures of one node."""
    from bmk.ssh import run

    script = f"exec nsenter -t $(pgrep -xf 'httpd -f -p 8080 -h /tmp') -n python3 - '{json.dumps(case)}'"
    answer = run(
        workspace.services.target(workspace.dc.hosts[node]), ["sh", "-c", script], send=PROGRAM.encode(), timeout=600
    )
    return dict(json.loads(answer.out))


def show(node: str, figures: dict[str, list[float]]) -> None:
    """A line for each name and server."""
    for what, (median, late) in figures.items():
        print(f"pod on {node}, {what}: median {median:.2f} ms, 99th percentile {late:.2f} ms")


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("needs root for a pod's network namespace")
    main()
