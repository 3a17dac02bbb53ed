"""What suites share: the manifest of the host that is looked at, read once."""

from __future__ import annotations

import json
from typing import Any

import pytest

Manifest = dict[str, list[dict[str, Any]]]
_READ: dict[str, Manifest] = {}


@pytest.fixture
def manifest(host: Any) -> Manifest:
    """Items of all sections by kind (files, units, packages, ...); nothing on a host that never converged."""
    name = str(host.backend.get_pytest_id())
    if name not in _READ:
        said = host.run("cat /etc/bmk/manifest.json")
        sections = json.loads(said.stdout)["sections"] if said.rc == 0 else {}
        _READ[name] = {}
        for section, body in sections.items():
            _READ[name].setdefault(section.rpartition(".")[2], []).extend(body["items"])
    return _READ[name]


@pytest.fixture
def member(host: Any) -> None:
    """For tests of hosts that joined a cluster; a spare has no Kubernetes to look at."""
    if not host.file("/etc/kubernetes/kubelet.conf").exists:
        pytest.skip("not a member of a cluster")


@pytest.fixture
def control_plane(host: Any) -> None:
    """For tests of control planes."""
    if not host.file("/etc/kubernetes/manifests/kube-apiserver.yaml").exists:
        pytest.skip("not a control plane")
