"""`bmk` as a user types it, on one data center and with a state directory of its own, for tests of whole clusters."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyrage
import pytest

from bmk.artifacts.mirror import load_mirror
from bmk.journal import Journal
from bmk.paths import cache_dir, content_dir


@dataclass(frozen=True)
class Lab:
    """A virtual data center: `dc` is its name or its file, `name` the name in the file."""

    state: Path
    name: str
    dc: str

    def command(self, *arguments: str) -> list[str]:
        verb, *rest = arguments
        return [sys.executable, "-m", "bmk", *verb.split(), self.dc, *rest]

    @property
    def env(self) -> dict[str, str]:
        own = self.state / "cache"
        cache = {"BMK_CACHE_DIR": str(own)} if own.exists() else {}
        return {**os.environ, **cache, "BMK_STATE_DIR": str(self.state), "NO_COLOR": "1"}

    def bmk(self, *arguments: str, code: int | None = 0, seconds: float = 1800) -> str:
        """Run to the end and return stdout; any other exit code than `code` fails the test with all that was said."""
        command = self.command(*arguments)
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=seconds, check=False)
        said = done.stdout[-4000:] + done.stderr[-8000:]
        assert code is None or done.returncode == code, f"{arguments} ended with {done.returncode}\n{said}"
        return done.stdout

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start it in the background; entering the lab replaces the process, so its pid stays."""
        with (self.state / "run.log").open("a") as log:
            return subprocess.Popen(self.command(*arguments), env=self.env, stdout=log, stderr=log, text=True)

    def killed(
        self, chance: random.Random, moments: tuple[float, float], times: int, *arguments: str, seconds: float = 1800
    ) -> None:
        """kill -9 of this command, so many times at random `moments` (seconds after it began), then once to its end."""
        for _ in range(times):
            process = self.start(*arguments)
            try:
                process.wait(timeout=chance.uniform(*moments))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.bmk(*arguments, seconds=seconds)

    @property
    def journal(self) -> Journal:
        return Journal.open(self.state / self.name)

    def entered(self, *command: str) -> list[str]:
        """A command that runs in the lab's network."""
        pid = json.loads((self.state / self.name / "lab/supervisor.json").read_text())["pid"]
        return ["nsenter", "--target", str(pid), "--net", *command]

    def inside(self, *command: str) -> str:
        """Output of a command that runs in the lab's network. The longest wait says for what, after 300 s."""
        return subprocess.run(self.entered(*command), capture_output=True, text=True, timeout=400, check=True).stdout

    def drift(self, code: int | None, *arguments: str) -> dict[str, Any]:
        """Where hosts and clusters stand, by name, as `bmk drift` says it."""
        document = json.loads(self.bmk("drift", "-o", "json", *arguments, code=code))
        return {s["name"]: s for s in document["standings"]}

    def nodes(self) -> dict[str, Any]:
        """Nodes of the cluster, by name, as the API says them."""
        out = self.bmk(
            "ssh", "cp-1", "--", "kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "get", "node", "-o", "json"
        )
        return {node["metadata"]["name"]: node for node in json.loads(out)["items"]}

    def on(self, host: str, script: str) -> str:
        """Output of a shell script on a host."""
        return self.bmk("ssh", host, "--", script)

    def power_cycled(self, host: str) -> None:
        """Power off and on by its BMC, and wait until the node has booted anew and is Ready."""
        before = self.nodes()[host]["status"]["nodeInfo"]["bootID"]
        self.bmk("power cycle", host, "--yes")
        end = time.monotonic() + 1200
        while True:
            node = self.nodes()[host]
            if node["status"]["nodeInfo"]["bootID"] != before and ready(node):
                return
            assert time.monotonic() < end, self.bmk("why", host, code=None)


def ready(node: dict[str, Any]) -> bool:
    """Whether the API calls a node Ready."""
    return any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])


def own_file(place: Path) -> Path:
    """lab-ha's file below `place`, to be changed by a test."""
    shutil.copytree(content_dir() / "inventories" / "lab-ha", place / "dc")
    return place / "dc" / "dc.yml"


def wants_backups(file: Path, place: Path) -> None:
    """Into the directory `kept` of `place`, for the private key in `par.key` there."""
    (place / "kept").mkdir()
    key = pyrage.x25519.Identity.generate()
    (place / "par.key").write_text(f"{key}\n")
    (place / "par.key").chmod(0o600)
    wish = {"recipients": [str(key.to_public())], "target": {"directory": {"path": str(place / "kept")}}}
    file.write_text(file.read_text().replace("\nspec:\n", f"\nspec:\n  backup: {json.dumps(wish)}\n", 1))


@contextmanager
def running(name: str, dc: str, state: Path, *, own_cache: bool = False) -> Iterator[Lab]:
    """Nothing of it is left afterwards. Skips without root; a mirror that is not complete is an error, with its hint.

    With `own_cache` it has this mirror with a lock of its own: builds elsewhere do not matter.
    """
    if os.geteuid() != 0:
        pytest.skip("system containers need root")
    load_mirror()
    lab = Lab(state, name, dc)
    if own_cache:
        _link_cache(state / "cache")
    try:
        yield lab
    finally:
        subprocess.run(lab.command("lab down"), env=lab.env, capture_output=True, timeout=120, check=False)
        shutil.rmtree(state / name / "lab", ignore_errors=True)


def _link_cache(own: Path) -> None:
    own.mkdir()
    for part in ("mirror", "registry", "rootfs"):
        (cache_dir() / part).mkdir(parents=True, exist_ok=True)  # before the first lab ever, some are not there
        (own / part).symlink_to(cache_dir() / part)
