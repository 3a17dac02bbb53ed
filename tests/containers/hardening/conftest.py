"""A control plane and a worker as `bmk provision` makes them, for everything that hardening promises."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab, running

HERE = Path(__file__).resolve().parent
ADDRESSES = {"cp-1": "10.57.0.11", "worker-1": "10.57.0.21"}
IMAGE = "10.57.0.1:5000/smoke:1"


@dataclass(frozen=True)
class Place:
    """The lab with a cluster in it."""

    lab: Lab

    def report(self, code: int, *arguments: str) -> dict[str, Any]:
        """`bmk hardening -o json`, which must end with this exit code."""
        answer: dict[str, Any] = json.loads(self.lab.bmk("hardening", "-o", "json", *arguments, code=code))
        return answer

    def failing(self, code: int) -> set[tuple[str, str]]:
        """(where, control) of what fails."""
        return {(r["where"], r["control"]) for r in self.report(code)["results"] if r["state"] == "fail"}

    def ssh(self, host: str, script: str, send: bytes = b"", check: bool = True) -> str:
        """Output of a shell script on a host; `send` is its standard input."""
        state = self.lab.state / self.lab.name
        pid = json.loads((state / "lab/supervisor.json").read_text())["pid"]
        options = ["-i", f"{state}/ssh/id_ed25519", "-o", f"UserKnownHostsFile={state}/known_hosts"]
        argv = ["nsenter", "-t", str(pid), "-n", "ssh", *options, f"root@{ADDRESSES[host]}", script]
        done = subprocess.run(argv, input=send, capture_output=True, timeout=120, check=False)
        assert done.returncode == 0 or not check, f"{script}: {done.stdout.decode()}{done.stderr.decode()}"
        return done.stdout.decode(errors="replace")

    def kubectl(self, *arguments: str, send: Any = None, check: bool = True) -> str:
        """kubectl of the control plane; what it says on stderr comes along."""
        text = json.dumps(send).encode() if send is not None else b""
        script = f"kubectl --kubeconfig /etc/kubernetes/admin.conf {' '.join(arguments)} 2>&1"
        return self.ssh("cp-1", script, text, check)

    def create(self, body: dict[str, Any]) -> str:
        """What the API says to an object; it need not be admitted."""
        return self.kubectl("create", "-f", "-", send=body, check=False)

    def log(self, namespace: str, pod: str, words: int = 1) -> str:
        """What a pod printed, once it printed that many words."""
        said = [""]

        def printed() -> bool:
            said[0] = self.kubectl("-n", namespace, "logs", pod, check=False)
            return "Error from server" not in said[0] and len(said[0].split()) >= words

        until(printed)
        return said[0]


def until(true: Callable[[], Any], seconds: float = 120) -> None:
    """Poll a condition."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.3)


def namespace(name: str, **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def pod(where: str, name: str, script: str, context: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A pod on the worker that runs a script and stays."""
    command = ["/bin/sh", "-c", f"{script}; exec sleep 3600"]
    container = {"name": "main", "image": IMAGE, "command": command, **spec.pop("container", {})}
    body = {"containers": [container], "securityContext": context or {}, "terminationGracePeriodSeconds": 0, **spec}
    body["nodeSelector"] = {"kubernetes.io/hostname": "worker-1"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": where}, "spec": body}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Its data center file is a copy, which a test may change."""
    state = tmp_path_factory.mktemp("hard")
    for name in ("dc.yml", "addresses.yml"):
        shutil.copy(HERE / name, state)
    with running("hard", str(state / "dc.yml"), state) as lab:
        lab.bmk("provision", "--yes")
        yield Place(lab)
