"""What drift found is something to converge, once; what a cluster lacks is put back by its API."""

from __future__ import annotations

import time
from typing import Any

from bmk.drift import baseline as baselines
from bmk.drift import history
from bmk.drift.classify import classify
from bmk.drift.model import Desired, Difference, DriftStatus, Trouble
from bmk.drift.repair import repair_variables
from bmk.phases.drift_repair import node_patches
from bmk.plan.actual import Drifted

OWNERS = {"sysctls:net.ipv4.ip_forward": "role node_baseline"}
SETTING = Difference("sysctls", "net.ipv4.ip_forward", "value", "1", "0")
LABEL = Difference("nodes", "worker-1 label role", "value", "worker", "x")
ROGUE = Difference("bindings", "rogue", "", None, "role cluster-admin")


def found(simulation: Any, where: str, *differences: Difference, **more: Any) -> None:
    """A drift run that ended with this."""
    findings = tuple(classify("lab-ha", where, d, Desired(owners=OWNERS), {}) for d in differences)
    now = time.time()
    history.remember(simulation.service, f"run-{now}", now, now, [DriftStatus(where, findings, **more)])


def test_a_host_with_drift_is_converged_and_sealed_again(simulation: Any) -> None:
    """Exactly that host; afterwards there is nothing to do, although nobody has looked again yet."""
    simulation.provision()
    found(simulation, "worker-2", SETTING)
    plan, _ = simulation.look()
    assert {h.host: [c.kind for c in h.changes] for h in plan.pending} == {"worker-2": ["repair", "baseline"]}
    assert "net.ipv4.ip_forward" in plan.pending[0].changes[0].text
    assert [o.error for o in simulation.provision()] == [None]
    assert simulation.look()[0].pending == ()


def test_a_converge_is_told_what_to_put_back(simulation: Any) -> None:
    """What is first to boot by its sealed name, only where it is not; files that no role writes as they were sealed."""
    simulation.provision()
    sealed = {"boot": {"first": {"value": "bmk"}}, "files": {}}
    for name in ("worker-1", "worker-2"):
        baselines.store(simulation.service, baselines.Baseline(name, time.time(), "d", facts=sealed))
    found(simulation, "worker-1", Difference("boot", "first", "value", "bmk", "UEFI PXEv4"))
    found(simulation, "worker-2", Difference("files", "/etc/cron.d/x", "", None, "type file"))
    kubelet = Difference("kubelet", "podPidsLimit", "value", "4096", "5000")
    found(simulation, "cp-1", kubelet, Difference("nftables", "inet bmk-masquerade", "", "rules 1", None))
    told = repair_variables(simulation.service, ["worker-1", "worker-2", "cp-1"])
    assert told["bmk_boot"] == {"worker-1": "bmk"}
    assert told["bmk_restore"]["worker-2"] == [{"path": "/etc/cron.d/x", "state": "absent"}]
    assert told["bmk_restart"] == {"cp-1": ["bmk-masquerade", "kubelet"]}
    assert told["bmk_distrust"] == ["cp-1", "worker-1", "worker-2"]


def test_a_look_after_the_repair_that_finds_it_again_is_drift_again(simulation: Any) -> None:
    """A repair that did not hold is not forgotten."""
    simulation.provision()
    found(simulation, "worker-2", SETTING)
    simulation.provision()
    found(simulation, "worker-2", SETTING)
    assert [h.host for h in simulation.look()[0].pending] == ["worker-2"]


def test_what_the_api_lacks_is_put_back_without_a_converge(simulation: Any) -> None:
    """A label with its node, a binding with the first control plane of its cluster; each once."""
    simulation.provision()
    cluster = next(iter(simulation.dc.spec.clusters))
    found(simulation, "worker-1", LABEL)
    found(simulation, cluster, ROGUE)
    plan, _ = simulation.look()
    kinds = {h.host: [c.kind for c in h.changes] for h in plan.pending}
    assert kinds == {"cp-1": ["restore"], "worker-1": ["restore"]}
    simulation.provision()
    assert sorted(simulation.drift_repaired) == ["rogue", "worker-1 label role"]
    assert simulation.look()[0].pending == ()


def test_a_host_that_could_not_be_asked_keeps_what_was_known(simulation: Any) -> None:
    """Unknown is not repaired and not gone: the difference stays open until somebody has looked."""
    found(simulation, "worker-1", SETTING)
    found(simulation, "worker-1", troubles=(Trouble("hangs", "x"),))
    assert [f.difference for f in history.outstanding(simulation.service)["worker-1"]] == [SETTING]
    found(simulation, "worker-1")
    assert history.outstanding(simulation.service) == {}


def drifted(name: str, field: str = "", want: Any = None) -> Drifted:
    return Drifted("", "api", "nodes", name, field, want)


def test_labels_and_taints_are_patched_as_found_wanting() -> None:
    """Changed, missing and additional ones, in one patch for each node; others of its taints stay."""
    nodes = {
        "w": {"spec": {"taints": [{"key": "mine", "effect": "NoSchedule"}, {"key": "keep", "effect": "NoExecute"}]}}
    }
    wanted = [
        drifted("w label role", "value", "worker"),
        drifted("w label zone", "", "value a"),
        drifted("w taint mine:NoSchedule"),
        drifted("w taint a/b:NoSchedule", "", "value "),
    ]
    assert node_patches(nodes, wanted) == {
        "w": {
            "metadata": {"labels": {"role": "worker", "zone": "a"}},
            "spec": {"taints": [{"key": "keep", "effect": "NoExecute"}, {"key": "a/b", "effect": "NoSchedule"}]},
        }
    }


def test_a_boot_override_is_taken_back_by_the_bmc(simulation: Any) -> None:
    """What somebody told the BMC to boot next is no more, without a converge; and then nothing is left to do."""
    simulation.provision()
    simulation.machines["worker-1"].boot_once = "pxe"
    found(simulation, "worker-1", Difference("bmc", "boot", "next", "disk", "Pxe, Once, mode UEFI"))
    plan, _ = simulation.look()
    assert {h.host: [c.text.split(":")[0] for c in h.changes] for h in plan.pending} == {
        "worker-1": ["take the boot override back"]
    }
    assert [o.error for o in simulation.provision()] == [None]
    assert simulation.machines["worker-1"].boot_once is None
    assert simulation.look()[0].pending == ()
