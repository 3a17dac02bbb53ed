"""What hardening costs: looking at it, and living with it. Each part in one run against its baseline.

    sudo python bench/hardening.py [--dc inventories/lab-ha/dc.yml] [--nodes 50] [--pods 300]

1. With --dc, one that is up and whose file has `groups: {exempt: [free]}`: one node's look against one raw ssh round
   trip (`true`) by paramiko; then pods from creation to running, turn by turn in `free`, which no policy looks
   at, and in a namespace that denies.
2. As many simulated nodes in parallel (addresses of one sshd in a network namespace of its own) against the same
   fan-out that runs `true`.
3. Creating pods on one API server over one connection: before there was a policy; then turn by turn in a namespace that
   is exempt and in one that denies. All of them are admitted.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
ROUNDS, STARTS = 7, 20
STRICT = {"runAsUser": 1000, "runAsGroup": 3000, "supplementalGroups": [4000], "supplementalGroupsPolicy": "Strict"}


def main() -> None:
    """All parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dc")
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--pods", type=int, default=300)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        fan_out(asked.nodes)
        return
    if asked.dc:
        one_node(asked.dc)
        starts(asked.dc)
    else:
        subprocess.run(
            ["unshare", "--net", sys.executable, __file__, "--inside", "--nodes", str(asked.nodes)], check=True
        )
        pods(asked.pods)


def one_node(dc: str) -> None:
    """A node of a real cluster."""
    from bmk.hardening.assess import assess_node
    from bmk.hardening.evidence import NodeEvidence
    from bmk.live.hardening_service import node_evidence
    from bmk.live.workspace import open_workspace
    from bmk.ssh import run

    site = open_workspace(dc)
    host = next(iter(site.dc.hosts.values()))
    target = site.services.target(host)

    def look() -> None:
        (seen,) = asyncio.run(node_evidence(site.dc, site.journal, [host]))
        assert isinstance(seen, NodeEvidence), seen
        assert len(list(assess_node(seen, ()))) > 50

    raw, ours = alternating(lambda: run(target, ["true"]), look)
    print(f"one node, {host.name}: raw ssh {raw:.3f} s, look and judge {ours:.3f} s: {ours / raw:.1f}x")


def starts(dc: str) -> None:
    """Seconds from asking for a pod to its container running, on one node whose image is there already."""
    from bmk.cluster.api import Api
    from bmk.live.workspace import open_workspace

    site = open_workspace(dc)
    host = next(h for h in site.dc.hosts.values() if h.role == "worker")
    kubeconfig, numbers = site.services.kubeconfig(host.cluster or ""), iter(range(10**9))
    image = f"{site.dc.spec.deployer.address}:{site.dc.spec.deployer.registry_port}/smoke:1"
    labels = {"bmk.dev/nonroot-group": "deny", "pod-security.kubernetes.io/enforce": "privileged"}

    with Api(kubeconfig) as api:

        def start(namespace: str) -> float:
            name = f"bench-{next(numbers)}"
            began = time.perf_counter()
            api.create(sleeper(namespace, name, image, host.name))
            while api.pods.status(namespace, name).get("phase") != "Running":
                time.sleep(0.01)
            return time.perf_counter() - began

        try:
            for name in ("free", "bench"):
                api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
            [start(n) for n in ("free", "bench")]
            pairs = [(start("free"), start("bench")) for _ in range(STARTS)]
        finally:
            for name in ("free", "bench"):
                api.pods.delete_namespace(name)
    free, deny = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(
        f"pod start on {host.name}, medians of {STARTS}: exempt {free:.2f} s, denying {deny:.2f} s: "
        f"{100 * (deny / free - 1):+.1f} %"
    )


def sleeper(namespace: str, name: str, image: str, node: str) -> dict[str, Any]:
    """A pod that ends by itself soon."""
    container = {"name": "main", "image": image, "command": ["sleep", "60"]}
    where = {"nodeSelector": {"kubernetes.io/hostname": node}, "restartPolicy": "Never"}
    spec = {"containers": [container], "securityContext": STRICT, "terminationGracePeriodSeconds": 0, **where}
    metadata = {"name": name, "namespace": namespace, "labels": {"app": "bench"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def fan_out(nodes: int) -> None:
    """Runs in a network namespace."""
    from bmk.drift.collector import CollectRequest, Keys, collect
    from bmk.hardening.assess import assess_node
    from bmk.hardening.controls import SYSCTLS
    from bmk.hardening.evidence import NodeEvidence, node_script
    from bmk.ssh import Target, run

    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        server, keys, identity = sshd(directory)
        try:
            targets = [Target(f"127.0.0.{i + 2}", identity, keys) for i in range(nodes)]
            wait(lambda: run(targets[0], ["true"]))
            requests = {t.address: CollectRequest(t.address, node_script(SYSCTLS)) for t in targets}
            (directory / "known_hosts").write_text("".join(f"{t.address} {key}\n" for t in targets for key in keys))

            async def look() -> None:
                async for answer in collect(requests, Keys(identity, directory / "known_hosts"), answered="evidence"):
                    assert answer.facts, answer
                    list(assess_node(NodeEvidence(answer.host, "worker", answer.facts), ()))

            with ThreadPoolExecutor(32) as pool:
                raw = timed(lambda: list(pool.map(lambda t: run(t, ["true"]), targets)))
                ours = timed(lambda: asyncio.run(look()))
            print(f"{nodes} simulated nodes: raw fan-out {raw:.2f} s, looks {ours:.2f} s: {ours / raw:.1f}x")
        finally:
            server.terminate()


def sshd(directory: Path) -> tuple[subprocess.Popen[bytes], tuple[str, ...], Path]:
    """A server on all addresses of this namespace: process, its host keys, the key that it accepts."""
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / key)], check=True)
    (directory / "authorized").write_text((directory / "user.pub").read_text())
    config = directory / "config"
    config.write_text(
        f"Port 22\nHostKey {directory}/host\nAuthorizedKeysFile {directory}/authorized\nPermitRootLogin yes\n"
        f"StrictModes no\nMaxStartups 500\nPidFile {directory}/pid\nUsePAM no\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", str(config)], stderr=subprocess.DEVNULL)
    return server, ((directory / "host.pub").read_text().strip(),), directory / "user"


def pods(count: int) -> None:
    """Pod creation where the policies deny, where they are not looked at, and before there were any."""
    from bmk.hardening import policy
    from tests.services.hardening import conftest as place

    with tempfile.TemporaryDirectory() as name:
        server = place.Server(Path(name), place.free_port(), place.free_port(), place.load_version())
        running = place.start(server)
        try:
            connection, numbers = connect(server.port), iter(range(10**9))

            def one(namespace: str) -> float:
                return create(connection, place.ADMIN, namespace, next(numbers))

            server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "free"}})
            [one("default") for _ in range(count)]
            before = [one("default") for _ in range(count)]
            with server.api() as api:
                for body in policy.objects({"default": "deny", "namespaces": {}, "exempt": ["kube-system", "free"]}):
                    api.apply(body)
            wait(lambda: refused(server, place.ADMIN))
            pairs = [(one("free"), one("default")) for _ in range(count)]
        finally:
            place.stop(running)
    bare, free, deny = (statistics.median(times) * 1000 for times in (before, *zip(*pairs, strict=True)))
    print(
        f"pod creation, medians of {count}: before any policy {bare:.2f} ms; turn by turn: exempt namespace "
        f"{free:.2f} ms, one that denies {deny:.2f} ms: {100 * (deny / free - 1):+.1f} %, {deny - free:+.2f} ms"
    )


def refused(server: Any, token: str) -> None:
    """Raises until a pod with group 0 is refused."""
    spec = {"containers": [{"name": "main", "image": "i"}]}
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "bad-", "namespace": "default"},
        "spec": spec,
    }
    assert server.ask("/api/v1/namespaces/default/pods", body, token)[0] == 422


def connect(port: int) -> http.client.HTTPSConnection:
    """One connection for all requests: handshakes are not what is measured."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection("127.0.0.1", port, context=context)


def create(connection: http.client.HTTPSConnection, token: str, namespace: str, number: int) -> float:
    """Seconds of one creation."""
    spec = {"containers": [{"name": "main", "image": "i"}], "securityContext": STRICT}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"b{number}"}, "spec": spec}
    began = time.perf_counter()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    connection.request("POST", f"/api/v1/namespaces/{namespace}/pods", json.dumps(body), headers)
    answer = connection.getresponse()
    said = answer.read()
    assert answer.status == 201, said
    return time.perf_counter() - began


def alternating(one: Callable[[], Any], other: Callable[[], Any]) -> tuple[float, float]:
    """Medians of both, taken turn by turn so that the machine is as busy for one as for the other."""
    pairs = [(timed(one), timed(other)) for _ in range(ROUNDS)]
    return statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)


def timed(work: Callable[[], Any]) -> float:
    """Seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def wait(work: Callable[[], Any]) -> None:
    """Until it raises no more, for a few seconds."""
    for _ in range(50):
        try:
            work()
            return
        except Exception:
            time.sleep(0.1)
    work()


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("needs root for a network namespace")
    main()
