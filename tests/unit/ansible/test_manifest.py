"""The digest that tells without a host whether a converge would change something."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.ansible import manifest
from bmk.ansible.manifest import content_digest, desired_digest, host_variables, renderers, roles, with_digests
from bmk.paths import content_dir

Inventory = dict[str, Any]


def test_the_digest_stays_when_only_the_way_to_the_host_changes(inventory: Inventory) -> None:
    """Another key file or address to log in at is not another state of the host."""
    other = copy.deepcopy(inventory)
    other["_meta"]["hostvars"]["cp-1"]["ansible_ssh_private_key_file"] = "/elsewhere"
    assert desired_digest(inventory, "cp-1") == desired_digest(other, "cp-1")


def test_the_digest_changes_with_what_is_on_the_host(inventory: Inventory) -> None:
    """A new artifact, a new neighbour, another MTU: each makes the host stale."""
    seen = {desired_digest(inventory, "cp-1")}
    for change in ("artifact", "neighbour", "mtu"):
        other = copy.deepcopy(inventory)
        if change == "artifact":
            other["all"]["vars"]["bmk_artifacts"]["kubelet"]["sha256"] = "1" * 64
        elif change == "neighbour":
            node = {"name": "new", "address": "10.87.0.99", "pods": "10.89.99.0/24", "client": False}
            other["_meta"]["hostvars"]["cp-1"]["bmk_host"]["neighbours"].append(node)
        else:
            other["_meta"]["hostvars"]["cp-1"]["bmk_host"]["mtu"] = 9000
        seen.add(desired_digest(other, "cp-1"))
    assert len(seen) == 4


def test_the_digest_stays_when_only_the_installer_changes(inventory: Inventory) -> None:
    """A new node image or ramdisk is for hosts that are installed from now on; no converge would bring it to others."""
    other = copy.deepcopy(inventory)
    for name in ("node-image", "node-rootfs", "install-initrd"):
        other["all"]["vars"]["bmk_artifacts"][name] = {"url": "http://x/", "sha256": "2" * 64, "size": 1}
    assert desired_digest(inventory, "cp-1") == desired_digest(other, "cp-1")


def test_hosts_do_not_share_a_digest(inventory: Inventory) -> None:
    """Each host has variables of its own, so each has a digest of its own."""
    hosts = [h for h in inventory["_meta"]["hostvars"] if h != "deployer"]
    assert len({desired_digest(inventory, h) for h in hosts}) == len(hosts) == 5


def test_the_play_is_told_the_digest(inventory: Inventory) -> None:
    """What the play writes into the manifest is what plan computes, although the digest is then a variable itself."""
    told = with_digests(inventory)
    for host in ("cp-1", "worker-1"):
        digest = told["_meta"]["hostvars"][host]["bmk_digest"]
        assert digest == desired_digest(inventory, host) == desired_digest(told, host)


def test_the_host_wins_over_its_groups() -> None:
    """Variables merge as Ansible merges them: all, outer groups, inner groups, the host."""
    inventory = {
        "all": {"vars": {"a": "all", "b": "all", "c": "all", "d": "all"}, "children": ["outer"]},
        "outer": {"vars": {"b": "outer", "c": "outer", "d": "outer"}, "children": ["inner"]},
        "inner": {"vars": {"c": "inner", "d": "inner"}, "hosts": ["h"]},
        "other": {"vars": {"a": "other"}, "hosts": ["x"]},
        "_meta": {"hostvars": {"h": {"d": "host"}}},
    }
    assert host_variables(inventory, "h") == {"a": "all", "b": "outer", "c": "inner", "d": "host"}


@given(st.permutations(["bmk_timing", "bmk_host", "ansible_host", "ansible_user"]))
def test_the_order_of_variables_is_nothing(order: list[str]) -> None:
    """The same variables in another order are the same state."""
    values = {"bmk_timing": "standard", "bmk_host": {"name": "h"}, "ansible_host": "1.2.3.4", "ansible_user": "root"}
    shuffled = {"_meta": {"hostvars": {"h": {k: values[k] for k in order}}}}
    assert desired_digest(shuffled, "h") == desired_digest({"_meta": {"hostvars": {"h": values}}}, "h")


@pytest.fixture
def content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of playbooks and roles, which the digest is made of."""
    for name in ("playbooks", "roles"):
        shutil.copytree(content_dir() / name, tmp_path / name)
    monkeypatch.setattr(manifest, "content_dir", lambda: tmp_path)
    return tmp_path


def digest() -> str:
    manifest._content_digest.cache_clear()
    try:
        return content_digest()
    finally:
        manifest._content_digest.cache_clear()


def test_a_role_that_is_added_to_the_playbook_converges(content: Path) -> None:
    """The playbook is the only list of roles: with a line in it, a change of the new role makes hosts stale."""
    playbook = content / "playbooks" / manifest.PLAYBOOK
    playbook.write_text(
        playbook.read_text().replace("    - role: node_baseline\n", "    - role: new\n    - role: node_baseline\n")
    )
    (content / "roles/new/tasks").mkdir(parents=True)
    tasks = content / "roles/new/tasks/main.yml"
    tasks.write_text("---\n")
    assert roles()[0] == "new"
    before = digest()
    tasks.write_text("--- []\n")
    assert digest() != before


def test_any_file_of_a_role_counts(content: Path) -> None:
    """A template, a default, a task: each of every role of the playbook."""
    seen = {digest()}
    for role in roles():
        path = next(p for p in sorted((content / "roles" / role).rglob("*")) if p.is_file())
        path.write_text(path.read_text() + "\n")
        seen.add(digest())
    assert len(seen) == len(roles()) + 1


def test_what_the_filters_import_counts() -> None:
    """A module that renders files of a host is one of the renderers: what Python loads for the filters is the proof."""
    code = (
        "import runpy, sys; runpy.run_path(sys.argv[1]); "
        "print(*(m.__file__ for n, m in sys.modules.items() if n.startswith('bmk.')), sep='\\n')"
    )
    filters = str(content_dir() / "playbooks" / manifest.FILTERS)
    done = subprocess.run([sys.executable, "-c", code, filters], capture_output=True, text=True, check=True)
    loaded = {Path(line) for line in done.stdout.splitlines()}
    assert loaded == set(renderers())
    assert {"kubeadm.py", "accounts.py", "network.py"} <= {path.name for path in loaded}


def test_hosts_that_ask_together_make_the_digest_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads ask for many hosts at a time: Python 3.11 reads no two sources at once, and one reading is enough."""
    inside, most, reads = threading.Semaphore(1), [0], []
    read = manifest._imports

    def watched(source: Path) -> list[str]:
        reads.append(source)
        most[0] += not inside.acquire(blocking=False)
        try:
            return list(read(source))
        finally:
            inside.release()

    monkeypatch.setattr(manifest, "_imports", watched)
    manifest._content_digest.cache_clear()
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(lambda _: content_digest(), range(64)))) == 1
    assert most == [0]
    assert len(reads) == len(set(reads))
