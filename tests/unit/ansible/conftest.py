"""What runs on nodes is imported here as Ansible imports it there."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
import pytest

import bmk.ansible
from bmk.datacenter.inventory import ansible_inventory
from bmk.datacenter.load import load_datacenter
from bmk.paths import content_dir

_UTILS = str(Path(bmk.ansible.__file__).parent / "module_utils")
if _UTILS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_UTILS)

ARTIFACTS = {
    "bmk_artifacts": {
        "kubelet": {"url": "http://d/files/kubelet", "sha256": "0" * 64, "version": "v1.37.2", "size": 1}
    },
    "bmk_images": {"pause": "10.87.0.1:5000/pause:3.10.2", "kube-apiserver": "10.87.0.1:5000/kube-apiserver:v1.37.2"},
}


@pytest.fixture(scope="session")
def inventory() -> dict[str, object]:
    """The inventory of lab-ha, with a few artifacts."""
    dc = load_datacenter(str(content_dir() / "inventories" / "lab-ha" / "dc.yml"))
    return ansible_inventory(dc, ARTIFACTS, {})
