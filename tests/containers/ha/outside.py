"""A machine outside of the lab's networks that says to whoever connects from where they come, and pods that ask it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab import Lab

OUTSIDE = "192.0.2.7"
KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf"
_ECHO = f"""
import socket
server = socket.create_server(("{OUTSIDE}", 8000))
print("listens", flush=True)
while True:
    client, (address, _) = server.accept()
    client.sendall(address.encode())
    client.close()
"""


@contextmanager
def machine(lab: Lab) -> Iterator[None]:
    """It is there meanwhile, behind the gateway of the nodes."""
    lab.inside("ip", "address", "add", f"{OUTSIDE}/32", "dev", "lo")
    process = subprocess.Popen(lab.entered(sys.executable, "-c", _ECHO), stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield
    finally:
        process.kill()
        process.wait(20)
        lab.inside("ip", "address", "delete", f"{OUTSIDE}/32", "dev", "lo")


@contextmanager
def pods(lab: Lab, image: str) -> Iterator[dict[str, str]]:
    """A pod on every node, which waits: name of the node -> of the pod."""
    labels = {"app": "ask"}
    ids = {"runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 3000, "supplementalGroupsPolicy": "Strict"}
    container = {
        "name": "ask",
        "image": image,
        "command": ["/bin/sleep", "3600"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "containers": [container],
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 0,
        "securityContext": {**ids, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    template = {"metadata": {"labels": labels}, "spec": spec}
    body = {"selector": {"matchLabels": labels}, "template": template}
    daemons = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "ask"}, "spec": body}
    lab.on("cp-1", f"{KUBECTL} create namespace ask; {KUBECTL} -n ask apply -f - <<'END'\n{json.dumps(daemons)}\nEND")
    try:
        lab.on("cp-1", f"{KUBECTL} -n ask rollout status daemonset/ask --timeout 120s")
        found = json.loads(lab.on("cp-1", f"{KUBECTL} -n ask get pods -o json"))["items"]
        yield {pod["spec"]["nodeName"]: pod["metadata"]["name"] for pod in found}
    finally:
        lab.on("cp-1", f"{KUBECTL} delete namespace ask --wait=false")


def said(lab: Lab, pod: str, command: str) -> str:
    """Output of a command in a pod."""
    return lab.on("cp-1", f"{KUBECTL} -n ask exec {pod} -- /bin/sh -c '{command}'")
