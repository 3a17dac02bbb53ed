"""The README's first command, whole, as an ordinary user."""

from __future__ import annotations

import json
import subprocess

import pytest

from bmk.artifacts.mirror import load_mirror
from bmk.paths import cache_dir
from tests.lab import ready

from .conftest import Ordinary

pytestmark = pytest.mark.machines


def test_the_first_command_makes_a_cluster_for_an_ordinary_user(ordinary: Ordinary) -> None:
    """With a copy of the artifacts, of which none is made again: `scripts/lab` takes two machines from powered off to
    Ready, and has nothing to do the next time.
    """
    load_mirror()
    for part in ("mirror", "registry"):
        ordinary.cache.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-r", cache_dir() / part, ordinary.cache], check=True)
    ordinary.owns(ordinary.home)
    try:
        first = ordinary.run("scripts/lab", seconds=3600)
        said = first.stdout[-4000:] + first.stderr[-8000:]
        assert first.returncode == 0, said
        assert "[1/" not in said, "an artifact was made again"
        nodes = json.loads(ordinary.bmk("ssh", "lab", "cp-1", "--", *_GET_NODES))["items"]
        assert [ready(node) for node in nodes] == [True, True]
        again = ordinary.run("scripts/lab")
        assert (again.returncode, "no changes" in again.stderr + again.stdout) == (0, True), again.stderr
    finally:
        ordinary.bmk("lab", "down", "lab")


_GET_NODES = ("kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "get", "node", "-o", "json")
