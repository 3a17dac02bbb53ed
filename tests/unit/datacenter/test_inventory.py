"""The inventory: complete for Ansible, pinned host keys only, and understood by ansible-inventory itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bmk.ansible.manifest import host_variables
from bmk.datacenter.hosts import select_hosts
from bmk.datacenter.inventory import ansible_inventory, endpoint
from bmk.datacenter.load import load_datacenter
from bmk.errors import ConfigError
from bmk.paths import content_dir

GOLDEN = Path(__file__).parent / "golden" / "inventory.json"


def test_inventory_of_lab_ha(monkeypatch):
    """Groups, cluster facts and host variables of a whole data center are exactly those of the golden file."""
    monkeypatch.setenv("BMK_STATE_DIR", "/state")
    artifacts = {"bmk_artifacts": {"kubeadm": {"url": "http://x/kubeadm"}}, "bmk_images": {"pause": "x/pause:1"}}
    made = ansible_inventory(load_datacenter("lab-ha"), artifacts, {"cp-1": "emulated"})
    text = json.dumps(made, indent=1, sort_keys=True) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_host_keys_are_never_trusted_on_first_use(room):
    """Every host is reached with strict checking against bmk's own file of known hosts."""
    for name, variables in ansible_inventory(room.load(), {}, {})["_meta"]["hostvars"].items():
        if name != "deployer":
            assert "StrictHostKeyChecking=yes" in variables["ansible_ssh_common_args"]
            assert "GlobalKnownHostsFile=/dev/null" in variables["ansible_ssh_common_args"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{vip: 10.1.0.10}", ("10.1.0.10", 6443)),
        ("{vip: 10.1.0.10, port: 8443}", ("10.1.0.10", 8443)),
        ("{external: api.example.net}", ("api.example.net", 6443)),
        ("{external: api.example.net:443}", ("api.example.net", 443)),
    ],
)
def test_endpoint_of_several_control_planes(room, written, expected):
    """The API is at the VIP or at the external balancer, with the port that either names."""
    assert endpoint(room.edit("{vip: 10.1.0.10}", written).load(), "one") == expected


def test_endpoint_of_one_control_plane(room):
    """A single control plane is the endpoint itself."""
    room.edit("      endpoint: {vip: 10.1.0.10}\n", "").edit("hosts: [a, b, c]", "hosts: [a]")
    assert endpoint(room.load(), "one") == ("10.1.0.11", 6443)


def test_plain_ansible_reads_the_script_beside_a_data_center(tmp_path):
    """`ansible-inventory -i inventories/lab/inventory`, without bmk's help, lists groups and host variables."""
    binaries = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "BMK_STATE_DIR": str(tmp_path),
        "ANSIBLE_LOCAL_TEMP": str(tmp_path),
    }
    command = [binaries / "ansible-inventory", "-i", content_dir() / "inventories" / "lab" / "inventory", "--list"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    listed = json.loads(run.stdout)
    assert listed["cluster_lab"]["hosts"] == ["cp-1", "worker-1"]
    assert listed["_meta"]["hostvars"]["worker-1"]["bmk_cluster"]["endpoint"] == {"host": "10.77.0.11", "port": 6443}


def test_select_by_name_and_limit(room):
    """Names and limits (host, rack, role, cluster, lists) meet; without either, all hosts are meant."""
    dc = room.load()

    def chosen(*names: str, limit: tuple[str, ...] = ()) -> str:
        return "".join(h.name for h in select_hosts(dc, names, limit))

    assert [chosen(), chosen("b", "a"), chosen(limit=("worker",)), chosen(limit=("a,d",))] == ["abcd", "ab", "d", "ad"]
    assert [chosen("a", limit=("control_plane",)), chosen("a", limit=("worker",))] == ["a", ""]
    assert chosen(limit=("one",)) == chosen(limit=("r1",)) == chosen(limit=("box",)) == "abcd"


def test_unknown_names_are_told_with_the_nearest(room):
    """A host or limit that does not exist is refused with a did-you-mean, never silently empty."""
    dc = room.load()
    with pytest.raises(ConfigError, match="there is no host 'e' in tiny"):
        select_hosts(dc, ["e"])
    with pytest.raises(ConfigError) as caught:
        select_hosts(dc, [], ["workr"])
    assert caught.value.hint == "did you mean 'worker'?"


def test_a_cluster_with_another_kubernetes_has_files_and_images_of_its_own() -> None:
    """Those of its release; hosts of other clusters, and spares, have those of the lock's own version."""
    dc = load_datacenter("lab-ha")
    version = dc.cluster("lab-ha").kubernetes.version
    mine = {"bmk_artifacts": {"kubelet": {"version": "v1.36.3"}}, "bmk_images": {"pause": "x"}}
    own = {"bmk_artifacts": {"kubelet": {"version": "v1.37.2"}}, "bmk_images": {}}
    found = ansible_inventory(dc, {**own, "releases": {version: mine}}, {})
    assert host_variables(found, "cp-1")["bmk_artifacts"] == mine["bmk_artifacts"]
    assert found["all"]["vars"]["bmk_artifacts"] == own["bmk_artifacts"]
    other = ansible_inventory(dc, {**own, "releases": {"1.30.0": mine}}, {})
    assert host_variables(other, "cp-1")["bmk_artifacts"] == own["bmk_artifacts"]
