"""From powered off to Ready: a virtual machine by PXE and four system containers, one cluster, one command."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from bmk.artifacts.mirror import load_mirror
from bmk.datacenter.load import load_datacenter
from tests.containers.hardening.breaks import MACHINE
from tests.lab import Lab

pytestmark = pytest.mark.machines


def ready(node: dict) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])


def test_one_command_takes_powered_off_machines_to_a_proven_cluster(lab: Lab) -> None:
    """`bmk provision` installs each disk once, joins every host, and the smoke test proves the cluster."""
    lab.bmk("provision", "--yes", seconds=3000)
    nodes = lab.nodes()
    hosts = load_datacenter("lab-mixed").hosts
    assert set(nodes) == set(hosts)
    assert all(ready(node) for node in nodes.values())
    spent = lab.journal.query("SELECT host, count(*) FROM grants WHERE outcome = 'spent' GROUP BY host")
    assert dict(spent) == dict.fromkeys(hosts, 1)
    checks = lab.journal.since(kind="smoke.check")
    assert checks
    assert all(check.level == "info" for check in checks)


def test_the_machine_went_the_whole_way(lab: Lab) -> None:
    """BMC told and read back; DHCP, HTTP and ramdisk seen; disk read back: no step was skipped."""
    seen = {event.kind for event in lab.journal.since(host="vm-1")}
    assert seen >= {
        "bmc.boot",
        "bmc.power",
        "dhcp.discover",
        "boot.answered",
        "grant.claimed",
        "image.written",
        "grant.spent",
    }


def test_the_second_run_changes_nothing(lab: Lab) -> None:
    """`plan` exits 0, `provision` says that nothing is to do and opens no phase, task or grant."""
    lab.bmk("plan")
    before = lab.journal.last_seq()
    lab.bmk("provision", "--yes")
    assert [e.kind for e in lab.journal.since(before) if e.kind.startswith(("phase.", "task.", "grant."))] == []


def test_every_boot_route_answers_local_disk_after_success(lab: Lab) -> None:
    """No machine of the data center would be installed again, whatever it asks."""
    data = load_datacenter("lab-mixed")
    for host in data.hosts.values():
        url = f"http://{data.spec.deployer.address}/boot/ipxe?mac={host.mac}&uuid={host.uuid}&serial={host.serial}"
        script = lab.inside("curl", "-sf", "--max-time", "30", f"{url}&platform={host.profile.firmware}")
        assert "kernel " not in script
        assert "local disk" in script


def test_a_machine_that_loses_power_comes_back_ready_from_its_disk(lab: Lab) -> None:
    """Power cycled by its BMC, without a grant, it boots its own disk and its node is Ready again."""
    power_cycled(lab)


def test_a_pod_on_a_machine_is_confined_by_its_kernel(lab: Lab) -> None:
    """Root of a user namespace is nobody on the host; AppArmor and seccomp confine it; cgroups are version 2."""
    pod = lab.state / "pod.json"
    pod.write_text(json.dumps(confined()))
    kubectl(lab, "apply", "-f", str(pod))
    kubectl(lab, "-n", "confined", "wait", "pod/root", "--for=condition=Ready", "--timeout=300s")
    uids, gids, profile, group, seccomp = kubectl(lab, "-n", "confined", "logs", "root").splitlines()
    for first, outside, number in (uids.split(), gids.split()):
        assert (first, int(outside) % 65536, int(number)) == ("0", 0, 65536)
    assert profile == "cri-containerd.apparmor.d (enforce)"
    assert group.startswith("0::/")
    assert seccomp.split() == ["Seccomp:", "2"]
    seen = on(lab, "p=$(pgrep -x -f 'sleep 7654'); stat -c '%u %g' /proc/$p; cat /proc/$p/attr/current").splitlines()
    assert seen == [f"{uids.split()[1]} {gids.split()[1]}", profile]
    assert int(uids.split()[1]) >= 65536


def test_what_only_a_machine_shows_fails_and_is_repaired(lab: Lab) -> None:
    """Kernel settings, cgroups, what the kubelet insists on: broken, exactly these fail; provision puts them right."""
    report = ("hardening", "--limit", "vm-1", "-o", "json")
    assert json.loads(lab.bmk(*report))["counts"]["fail"] == 0
    for one in MACHINE:
        on(lab, one.script)
    failed = [r["control"] for r in json.loads(lab.bmk(*report, code=2))["results"] if r["state"] == "fail"]
    assert sorted(failed) == sorted(b.control for b in MACHINE)
    lab.bmk("provision", "--yes")
    counts = json.loads(lab.bmk(*report))["counts"]
    assert (counts["fail"], counts["unknown"]) == (0, 0)


def power_cycled(lab: Lab) -> None:
    """Power off and on, and wait until the node has booted anew and is Ready."""
    before = lab.nodes()["vm-1"]["status"]["nodeInfo"]["bootID"]
    lab.bmk("power cycle", "vm-1", "--yes")
    end = time.monotonic() + 1200
    while True:
        node = lab.nodes()["vm-1"]
        if node["status"]["nodeInfo"]["bootID"] != before and ready(node):
            return
        assert time.monotonic() < end, lab.bmk("why", "vm-1", code=None)
        lab.journal.close()


def confined() -> dict[str, Any]:
    """A pod with a user namespace on the machine, root inside; it prints what it is, and stays."""
    seen = "/proc/self/uid_map /proc/self/gid_map /proc/1/attr/current /proc/self/cgroup"
    script = f"cat {seen}; grep Seccomp: /proc/self/status; exec sleep 7654"
    image = f"{load_datacenter('lab-mixed').spec.deployer.address}:5000/smoke:1"
    container = {"name": "main", "image": image, "command": ["/bin/sh", "-c", script]}
    container["securityContext"] = {"runAsUser": 0, "runAsGroup": 0}
    labels = {"pod-security.kubernetes.io/enforce": "privileged", "bmk.dev/nonroot-group": "deny"}
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "confined", "labels": labels}}
    spec = {"hostUsers": False, "containers": [container], "nodeSelector": {"kubernetes.io/hostname": "vm-1"}}
    metadata = {"name": "root", "namespace": "confined"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    return {"apiVersion": "v1", "kind": "List", "items": [space, pod]}


def kubectl(lab: Lab, *arguments: str) -> str:
    """kubectl in the lab's network, as its administrator."""
    program = load_mirror().file("kubectl").local
    program.chmod(0o755)
    return lab.inside(str(program), "--kubeconfig", str(lab.state / lab.name / "kubeconfig" / lab.name), *arguments)


def on(lab: Lab, script: str) -> str:
    """Output of a shell script on the machine."""
    return lab.bmk("ssh", "vm-1", "--", script)
