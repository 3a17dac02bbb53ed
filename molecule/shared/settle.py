"""What `bmk provision` does for nodes that joined: approves their kubelets' certificates and waits until all are Ready.

settle.py DATACENTER HOST...    asks from the lab's network, with the kubeconfig that the role brought
"""

from __future__ import annotations

import sys
import time

from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import Host
from bmk.errors import BmkError, Unreachable
from bmk.lab.host.netns import ensure_inside
from bmk.live.cluster import LiveCluster
from bmk.paths import state_dir

PATIENCE = 900.0  # seconds, as the phase `verified` has with emulated machines
PAUSE = 10.0  # seconds; each question is a handshake, and dear to an emulated machine


def waits_for(cluster: LiveCluster, hosts: list[Host]) -> list[str]:
    """What is not as it shall be yet; empty when all nodes are Ready and every API server says that it is."""
    try:
        for name in cluster.approve(hosts):
            sys.stdout.write(f"approved {name}\n")
        live, nodes, serving = cluster.live(), cluster.nodes(), cluster.serving(hosts)
    except Unreachable as error:
        return [error.what]
    ready = {
        "API server": {host.name for host in hosts if host.role != "control_plane"} | set(live),
        "node": {name for name, state in nodes.items() if state == "ready"},
        "kubelet's certificate": serving,
    }
    return [f"{host.name}: {what} is not ready" for host in hosts for what in ready if host.name not in ready[what]]


def main() -> None:
    dc = load_datacenter(sys.argv[1])
    ensure_inside(dc)
    hosts = [dc.hosts[name] for name in sys.argv[2:]]
    (name,) = {host.cluster or "" for host in hosts}
    cluster = LiveCluster(dc, name, state_dir(dc.name) / "kubeconfig" / name, {}, "emulated")
    end = time.monotonic() + PATIENCE
    while missing := waits_for(cluster, hosts):
        if time.monotonic() > end:
            hint = "scripts/molecule ROLE ssh, then kubectl --kubeconfig /etc/kubernetes/admin.conf get nodes,csr"
            raise BmkError("nodes did not become Ready", where=dc.name, why="; ".join(missing), hint=hint)
        time.sleep(PAUSE)


if __name__ == "__main__":
    try:
        main()
    except BmkError as error:
        sys.exit(f"error: {error}")
