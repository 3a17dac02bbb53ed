"""Facts of APIs and BMCs against the file: administrators, policies, kubelets' settings, images, event logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bmk.bmc.protocol import LogEntry
from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import DataCenter
from bmk.drift.compare import compare
from bmk.drift.model import Desired
from bmk.drift.outside.bmc import bad_entries, bmc_facts, desired_bmc
from bmk.drift.outside.cluster import administrator, binding_facts, desired_cluster, policy_facts, wanted_policies
from bmk.drift.outside.nodes import desired_images, desired_settings, held, image_facts, live_settings, with_builds
from bmk.errors import PreflightRefused
from bmk.hardening import addons, network, policy

ROOT = Path(__file__).resolve().parents[3]
NAMESPACES = ["default", "kube-system"]
IMAGES = {name: f"d/{name}@sha256:1" for name in (network.ENGINE, addons.METRICS)}
KUBEADM = [administrator(name) for name in ("cluster-admin", "kubeadm:cluster-admins")]


@pytest.fixture(scope="module")
def dc() -> DataCenter:
    return load_datacenter(ROOT / "inventories/lab-ha/dc.yml")


def binding(name: str, role: str = "cluster-admin", namespace: str = "") -> dict[str, Any]:
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": "default"}
    body = {"metadata": {"name": name, "namespace": namespace}, "roleRef": {"kind": "ClusterRole", "name": role}}
    return {**body, "subjects": [subject]}


def found(dc: DataCenter, bindings: list[Any], policies: list[Any], roles: list[Any] | None = None) -> list[Any]:
    wanted = wanted_of(dc)
    facts = {**binding_facts(roles or [], bindings), **policy_facts(wanted, policies)}
    return [(d.item, d.field) for d in compare(desired_cluster(wanted), facts)]


def wanted_of(dc: DataCenter) -> list[Any]:
    return wanted_policies(dc, next(iter(dc.spec.clusters)), IMAGES, NAMESPACES, "certificate")


def live(dc: DataCenter) -> list[Any]:
    """Policies as an API gives them back: with values that it adds."""
    return [{**o, "spec": {**o["spec"], "added": "by the API"}} if "spec" in o else o for o in wanted_of(dc)]


def test_a_cluster_as_it_was_made_has_no_difference(dc: DataCenter) -> None:
    """kubeadm's administrators, bmk's policies, and what the API adds by itself."""
    assert found(dc, KUBEADM, live(dc)) == []


def test_administrators_are_known_by_whom_they_name(dc: DataCenter) -> None:
    """Another binding, one in a namespace, one to a role that may as much, and another subject in kubeadm's own."""
    rules = [{"verbs": ["*"], "resources": ["*"], "apiGroups": ["*"]}]
    roles = [{"metadata": {"name": "harmless-name"}, "rules": rules}]
    more = [binding("rogue"), binding("sly", namespace="kube-system"), binding("third", role="harmless-name")]
    assert found(dc, [*KUBEADM, *more, binding("viewer", role="view")], live(dc), roles) == [
        ("bindings:kube-system/sly", ""), ("bindings:rogue", ""), ("bindings:third", ""),
    ]  # fmt: skip
    widened = {**KUBEADM[0], "subjects": [*KUBEADM[0]["subjects"], {"kind": "User", "name": "eve"}]}
    assert found(dc, [widened, KUBEADM[1]], live(dc)) == [("bindings:cluster-admin", "subjects")]


def test_policies_are_compared_leaf_by_leaf(dc: DataCenter) -> None:
    """One that is gone, one whose action was changed, one of bmk that is over; what others made is theirs."""
    first, second, *others = live(dc)
    changed = {**second, "spec": {**second["spec"], "failurePolicy": "Ignore"}}
    old = {**first, "metadata": {**first["metadata"], "name": "old"}}
    foreign = {**first, "metadata": {"name": "of-others"}}
    assert set(found(dc, KUBEADM, [changed, old, foreign, *others])) == {
        (f"policies:{policy.key(first)}", ""),
        (f"policies:{policy.key(second)}", "failurePolicy"),
        (f"policies:{first['kind']}/old", ""),
    }


def test_who_enforces_network_policy_is_watched(dc: DataCenter) -> None:
    """Another image, more rights for its account, a policy that denies gone: each is drift of the cluster."""
    objects = {policy.key(o): o for o in live(dc)}
    daemon, role = "DaemonSet/kube-system/kube-network-policies", "ClusterRole/kube-network-policies"
    denied = "NetworkPolicy/default/bmk-default-deny"
    spec = objects[daemon]["spec"]
    container = {**spec["template"]["spec"]["containers"][0], "image": "elsewhere/engine:1"}
    pod = {**spec["template"]["spec"], "containers": [container]}
    objects[daemon] = {**objects[daemon], "spec": {**spec, "template": {**spec["template"], "spec": pod}}}
    rules = [*objects[role]["rules"], {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}]
    objects[role] = {**objects[role], "rules": rules}
    assert objects.pop(denied)
    assert {item for item, _ in found(dc, KUBEADM, list(objects.values()))} == {
        f"policies:{daemon}", f"policies:{role}", f"policies:{denied}",
    }  # fmt: skip


def test_a_namespace_that_does_not_exist_yet_has_nothing_to_deny(dc: DataCenter) -> None:
    """What is denied is wanted where it can be; who enforces is wanted always, and a mirror without it is refused."""
    keys = {policy.key(o) for o in wanted_policies(dc, "lab-ha", IMAGES, ["kube-system"], "c")}
    assert [key for key in keys if key.startswith("NetworkPolicy/")] == ["NetworkPolicy/kube-system/metrics-server"]
    assert "DaemonSet/kube-system/kube-network-policies" in keys
    with pytest.raises(PreflightRefused, match="kube-network-policies"):
        wanted_policies(dc, "lab-ha", {}, NAMESPACES, "c")


CONFIG = """\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {cacheTTL: 0s, enabled: true}
clusterDNS: [10.66.0.10]
cpuManagerReconcilePeriod: 0s
failCgroupV1: false
logging: {flushFrequency: 0, options: {json: {infoBufferSize: "0"}}}
memorySwap: {}
podPidsLimit: 4096
readOnlyPort: 0
streamingConnectionIdleTimeout: 5m
"""
RUNS = {
    "authentication": {"anonymous": {"enabled": False}, "webhook": {"cacheTTL": "2m0s", "enabled": True}},
    "clusterDNS": ["10.66.0.10"],
    "cpuManagerReconcilePeriod": "10s",
    "logging": {"flushFrequency": "5s", "options": {"json": {"infoBufferSize": "0"}}},
    "podPidsLimit": 4096,
    "streamingConnectionIdleTimeout": "5m0s",
    "maxPods": 110,
}


def settings(**changed: Any) -> list[tuple[str, Any]]:
    wanted = desired_settings(CONFIG)
    facts = {"kubelet": live_settings(wanted, {**RUNS, **changed})}
    return [(d.id, d.have) for d in compare(Desired({"kubelet": wanted}), facts)]


def test_a_kubelet_that_runs_with_its_file_has_no_difference() -> None:
    """Zeros in the file mean defaults, a zero that Go leaves out is one, and durations have two spellings."""
    assert settings() == []


def test_a_kubelet_that_runs_with_something_else_is_found() -> None:
    """Whatever the file says: another limit, a port for everybody, an anonymous user, a setting that is gone."""
    assert settings(podPidsLimit=-1) == [("podPidsLimit", "-1")]
    assert settings(readOnlyPort=10255) == [("readOnlyPort", "10255")]
    assert settings(authentication={"anonymous": {"enabled": True}, "webhook": {"enabled": True}}) == [
        ("authentication.anonymous.enabled", "true")
    ]
    assert settings(clusterDNS=[]) == [("clusterDNS", "")]


def pod(container: str, digest: str, state: str = "running") -> dict[str, Any]:
    status = {"name": container, "imageID": f"10.0.0.1:5000/{container}@{digest}", "image": f"{container}:v1"}
    return {"spec": {"nodeName": "cp-1"}, "status": {"containerStatuses": [{**status, "state": {state: {}}}]}}


class Held:
    name, digest, id = "kube-proxy", "sha256:aa", "bb"


def test_an_image_is_known_by_its_digest() -> None:
    """The mirror's manifest or configuration is right; the same name with other bytes, while it runs, is not."""
    desired = desired_images([Held()])
    good = image_facts([pod("kube-proxy", "sha256:aa"), pod("kube-proxy", "sha256:bb"), pod("guest", "sha256:cc")])
    assert compare(desired, good["cp-1"]) == []
    bad = image_facts([pod("kube-proxy", "sha256:cc"), pod("kube-proxy", "sha256:dd", "terminated")])
    assert [d.item for d in compare(desired, bad["cp-1"])] == ["images:kube-proxy sha256:cc"]
    assert compare(desired_images([]), bad["cp-1"]) == []  # no mirror here: nothing is known


def test_an_earlier_build_is_no_intruder() -> None:
    """What the mirror held when hosts converged differs as that; bytes that it never held are not."""
    before = [*held([Held()]), "kube-proxy sha256:cc"]
    running = [pod("kube-proxy", f"sha256:{digest}") for digest in ("aa", "cc", "dd")]
    found = compare(*with_builds(desired_images([Held()]), before, image_facts(running)["cp-1"]))
    assert [(d.id, d.field) for d in found] == [("kube-proxy sha256:cc", "build"), ("kube-proxy sha256:dd", "")]
    nothing = with_builds(desired_images([]), before, image_facts(running)["cp-1"])
    assert compare(*nothing) == []


def test_facts_of_a_bmc_are_compared(dc: DataCenter) -> None:
    """Another serial, a power that is off, a boot that goes elsewhere; and faults that the baseline does not have."""
    host = next(iter(dc.hosts.values()))
    old = LogEntry("1970-01-01T00:00:09Z", "Critical", "Fan 3 failed")
    new = LogEntry("1970-01-01T00:00:01Z", "Warning", "PSU 2 lost its input")  # its clock went back
    routine = LogEntry("2026-11-27T10:00:00Z", "OK", "power: On")
    desired = desired_bmc(host, bad_entries([old, routine]))
    identity = {"serial": host.serial, "uuid": host.uuid}
    assert compare(desired, bmc_facts(identity, "on", "", [routine, old])) == []
    assert [d.item for d in compare(desired, bmc_facts(identity, "on", "", [new, old, routine]))] == [
        "bmc:Warning event 1970-01-01T00:00:01Z PSU 2 lost its input"
    ]
    other = bmc_facts({"serial": "X", "uuid": host.uuid}, "off", "pxe once", [])
    assert [(d.id, d.field) for d in compare(desired, other)] == [
        ("boot", "next"), ("identity", "serial"), ("power", "value"),
    ]  # fmt: skip
