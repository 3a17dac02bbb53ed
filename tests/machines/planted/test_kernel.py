"""What only a kernel of its own shows: how a pod is confined, and settings that a container does not have."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bmk.artifacts.mirror import load_mirror
from bmk.datacenter.load import load_datacenter
from tests.containers.hardening.breaks import MACHINE
from tests.lab import Lab
from tests.machines.planted.plants import HOST

pytestmark = pytest.mark.machines


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
    look = "p=$(pgrep -x -f 'sleep 7654'); stat -c '%u %g' /proc/$p; cat /proc/$p/attr/current"
    seen = lab.on(HOST, look).splitlines()
    assert seen == [f"{uids.split()[1]} {gids.split()[1]}", profile]
    assert int(uids.split()[1]) >= 65536


def test_what_only_a_machine_shows_fails_and_is_repaired(lab: Lab) -> None:
    """Kernel settings, cgroups, what the kubelet insists on: broken, exactly these fail; provision puts them right."""
    report = ("hardening", "--limit", HOST, "-o", "json")
    assert json.loads(lab.bmk(*report))["counts"]["fail"] == 0
    for one in MACHINE:
        lab.on(HOST, one.script)
    failed = [r["control"] for r in json.loads(lab.bmk(*report, code=2))["results"] if r["state"] == "fail"]
    assert sorted(failed) == sorted(b.control for b in MACHINE)
    lab.bmk("provision", "--yes")
    counts = json.loads(lab.bmk(*report))["counts"]
    assert (counts["fail"], counts["unknown"]) == (0, 0)


def confined() -> dict[str, Any]:
    """A pod with a user namespace on the machine, root inside; it prints what it is, and stays."""
    seen = "/proc/self/uid_map /proc/self/gid_map /proc/1/attr/current /proc/self/cgroup"
    script = f"cat {seen}; grep Seccomp: /proc/self/status; exec sleep 7654"
    image = f"{load_datacenter('lab-mixed').spec.deployer.address}:5000/smoke:1"
    container = {"name": "main", "image": image, "command": ["/bin/sh", "-c", script]}
    container["securityContext"] = {"runAsUser": 0, "runAsGroup": 0}
    labels = {"pod-security.kubernetes.io/enforce": "privileged", "bmk.dev/nonroot-group": "deny"}
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "confined", "labels": labels}}
    spec = {"hostUsers": False, "containers": [container], "nodeSelector": {"kubernetes.io/hostname": HOST}}
    metadata = {"name": "root", "namespace": "confined"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    return {"apiVersion": "v1", "kind": "List", "items": [space, pod]}


def kubectl(lab: Lab, *arguments: str) -> str:
    """kubectl in the lab's network, as its administrator."""
    program = load_mirror().file("kubectl").local
    program.chmod(0o755)
    return lab.inside(str(program), "--kubeconfig", str(lab.state / lab.name / "kubeconfig" / lab.name), *arguments)
