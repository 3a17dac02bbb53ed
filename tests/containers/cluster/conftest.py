"""A cluster of system containers for one module: made by the playbooks, gone at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ADDRESSES = {"cp-1": "10.67.0.11", "cp-2": "10.67.0.12", "cp-3": "10.67.0.13", "worker-1": "10.67.0.21"}


@dataclass
class Hall:
    """A lab that is up, with its hosts on and nothing configured on them."""

    state: Path
    file: Path

    @property
    def kubeconfig(self) -> Path:
        return self.state / "roles/kubeconfig/roles"

    def bmk(self, *arguments: str) -> str:
        """The command, as a user types it: what it says on both outputs."""
        return self._call(["sh", "-c", 'exec "$@" 2>&1', "sh", sys.executable, "-m", "bmk", *arguments], 120)

    def converge(self, playbook: str, *hosts: str, check: bool = False, **variables: str) -> dict[str, Any]:
        """Results by host; `events` and `wanted` (digests that plan computes) beside them."""
        asked = {"playbook": playbook, "hosts": hosts, "variables": variables, "check": check}
        return self.drive("converge", asked)

    def drive(self, what: str, asked: dict[str, Any] | None = None) -> Any:
        """See drive.py."""
        argv = [sys.executable, str(HERE / "drive.py"), str(self.file), what, json.dumps(asked or {})]
        return json.loads(self._call(argv, 600).splitlines()[-1])

    def command(self, what: str, asked: dict[str, Any]) -> subprocess.Popen[str]:
        """The same, not waited for."""
        argv = [sys.executable, str(HERE / "drive.py"), str(self.file), what, json.dumps(asked)]
        return subprocess.Popen(argv, env=self._env, stdout=subprocess.PIPE, text=True)

    def ssh(self, host: str, script: str, check: bool = True) -> str:
        """Output of a shell script on a host."""
        state = self.state / "roles"
        pid = json.loads((state / "lab/supervisor.json").read_text())["pid"]
        options = ["-i", f"{state}/ssh/id_ed25519", "-o", f"UserKnownHostsFile={state}/known_hosts"]
        argv = ["nsenter", "-t", str(pid), "-n", "ssh", *options, f"root@{ADDRESSES[host]}", "sh", "-s"]
        done = subprocess.run(argv, input=script, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0 or not check, f"{script}: {done.stdout}{done.stderr}"
        return done.stdout

    def kubectl(self, *arguments: str, on: str = "cp-1") -> str:
        """kubectl of a control plane, with its own kubeconfig."""
        return self.ssh(on, f"kubectl --kubeconfig /etc/kubernetes/admin.conf {' '.join(arguments)}")

    @property
    def _env(self) -> dict[str, str]:
        return {**os.environ, "BMK_STATE_DIR": str(self.state)}

    def _call(self, argv: list[str], seconds: float) -> str:
        done = subprocess.run(argv, env=self._env, capture_output=True, text=True, timeout=seconds, check=False)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    """Four hosts with an operating system and ssh, as an install leaves them."""
    if os.geteuid() != 0:
        pytest.skip("system containers need root")
    place = Hall(tmp_path_factory.mktemp("state"), HERE / "dc.yml")
    try:
        place.bmk("lab", "up", str(place.file))
        place.bmk("lab", "preseed", str(place.file))
        for host in ADDRESSES:
            _reachable(place, host)
        yield place
    finally:
        place.bmk("lab", "down", str(place.file), "--delete")


def _reachable(hall: Hall, host: str) -> None:
    end = time.monotonic() + 60
    while hall.ssh(host, "echo there", check=False) != "there\n":
        assert time.monotonic() < end, f"{host} does not come up"
        time.sleep(0.3)
