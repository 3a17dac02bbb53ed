"""kubeadm's configuration and patches against golden files, and what must hold in all of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml

from bmk.cluster.kubeadm import (
    STATIC_PODS,
    Node,
    init_documents,
    join_documents,
    patches,
    registration,
    upgrade_documents,
    upload_certs_documents,
)
from bmk.hardening import accounts
from bmk.hardening.policy import violations

Make = Callable[..., Node]
Golden = Callable[[str, str], None]
TICKET = ("abcdef.0123456789abcdef", "sha256:" + "0" * 64)


def _text(documents: Any) -> str:
    return str(yaml.safe_dump_all(documents, sort_keys=False))


@pytest.mark.parametrize("timing", ["standard", "emulated"])
def test_init_is_as_reviewed(node: Make, golden: Golden, timing: str) -> None:
    """The configuration of a first control plane behind a VIP."""
    golden(f"init-{timing}.yml", _text(init_documents(node(timing=timing))))


def test_joins_are_as_reviewed(node: Make, golden: Golden) -> None:
    """A worker's join has no key of the control plane; a control plane's has, and its own endpoint."""
    golden("join-worker.yml", _text(join_documents(node(role="worker"), *TICKET)))
    golden("join-control-plane.yml", _text(join_documents(node(), *TICKET, "f" * 64)))


def test_upgrades_are_as_reviewed(node: Make, golden: Golden) -> None:
    """One file for `apply` and `node`; certificates are left to their own command, in system containers too."""
    golden("upgrade.yml", _text([*upgrade_documents(node()), *upgrade_documents(node(cgroup=1, container=True))]))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("standard-vip", {}),
        ("standard-single", {"vip": None, "several": False}),
        ("emulated", {"timing": "emulated"}),
        ("emulated-worker", {"timing": "emulated", "role": "worker"}),
        ("container", {"cgroup": 1, "container": True, "role": "worker"}),
    ],
)
def test_patches_are_as_reviewed(node: Make, golden: Golden, name: str, options: dict[str, Any]) -> None:
    """What a single host needs otherwise, file by file."""
    found = patches(node(**options))
    golden(f"patches-{name}.json", json.dumps(found, indent=2, sort_keys=True) + "\n")


def test_standard_hardware_keeps_upstreams_patience(node: Make) -> None:
    """Real hardware gets no probe, no time-out and no lease of ours."""
    text = _text(init_documents(node(vip=None))) + json.dumps(patches(node(vip=None)))
    for word in ("timeouts", "leader-elect", "heartbeat", "housekeeping", "GODEBUG", "Probe"):
        assert word not in text


def test_a_container_waits_longer_than_a_machine_of_its_own(node: Make) -> None:
    """Hosts that share a machine are slow together; kubeadm would give up on an API server that is on its way."""
    assert init_documents(node(container=True))[0]["timeouts"]["kubernetesAPICall"] == "5m0s"
    assert init_documents(node(container=True, timing="emulated"))[0]["timeouts"][
        "controlPlaneComponentHealthCheck"
    ] == ("20m0s")


def test_every_static_pod_is_patient_when_emulated(node: Make) -> None:
    """Without KVM no probe may kill a static pod that is merely slow."""
    found: Any = patches(node(timing="emulated"))
    for name in STATIC_PODS:
        container = found[f"{name}1+strategic.yaml"]["spec"]["containers"][0]
        assert container["livenessProbe"]["timeoutSeconds"] == 120
        assert container["startupProbe"]["failureThreshold"] >= 60


def test_only_a_slow_control_plane_without_others_holds_no_election(node: Make) -> None:
    """Losing a lease to nobody is a restart for nothing; two control planes always elect, and so does real hardware."""

    def elects(made: Node) -> bool:
        return '"leader-elect"' not in json.dumps(init_documents(made))

    slow, quick = node(timing="emulated"), node()
    alone = {"cluster": {**slow.cluster, "control_plane": slow.cluster["control_plane"][:1]}}
    assert not elects(replace(slow, **alone))
    assert elects(slow)
    assert elects(replace(quick, **alone))


def test_names_are_served_by_a_slow_pod_too(node: Make) -> None:
    """Without KVM no probe may kill CoreDNS either; kubeadm takes its patch by this name."""
    deployment: Any = patches(node(timing="emulated"))["corednsdeployment1+strategic.yaml"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["name"] == "coredns"
    assert container["livenessProbe"]["timeoutSeconds"] == container["readinessProbe"]["timeoutSeconds"] == 120
    assert "startupProbe" not in container


def test_nothing_makes_a_token_of_a_day(node: Make) -> None:
    """The token that kubeadm insists on at init lives for a minute and may not sign."""
    (token,) = init_documents(node())[0]["bootstrapTokens"]
    assert token["ttl"] == "1m0s"
    assert token["usages"] == ["authentication"]


def test_preflight_checks_are_ignored_only_where_they_do_not_fit(node: Make) -> None:
    """A proper host passes all of kubeadm's checks; exceptions have a reason each."""
    assert "ignorePreflightErrors" not in registration(node(role="worker"))
    assert registration(node(vip=None, cgroup=1))["ignorePreflightErrors"] == ["SystemVerification"]
    assert registration(node())["ignorePreflightErrors"] == ["Port-6443"]


def test_the_kubelet_is_hardened(node: Make) -> None:
    """CIS 4.2.x and seccomp by default, in the configuration that every node gets."""
    kubelet = init_documents(node())[3]
    assert kubelet["authentication"]["anonymous"]["enabled"] is False
    assert kubelet["authorization"]["mode"] == "Webhook"
    assert (kubelet["readOnlyPort"], kubelet["seccompDefault"], kubelet["serverTLSBootstrap"]) == (0, True, True)
    assert kubelet["protectKernelDefaults"] is kubelet["failCgroupV1"] is kubelet["rotateCertificates"] is True
    assert kubelet["podPidsLimit"] > 0
    assert kubelet["tlsMinVersion"] == "VersionTLS12"


def test_pod_ranges_come_from_the_model_only_when_routed(node: Make) -> None:
    """With another plug-in the controller manager hands out ranges as ever."""
    for plugin, name in (("routed", "allocate-node-cidrs"), ("cilium", "node-cidr-mask-size")):
        arguments = init_documents(node(plugin=plugin))[1]["controllerManager"]["extraArgs"]
        assert name in {a["name"] for a in arguments}


def test_labels_that_the_api_refuses_are_left_out(node: Make) -> None:
    """A node may not give itself labels below kubernetes.io; with one it would never register."""
    labels = {"role": "worker", "example.org/rack": "r1", "node-role.kubernetes.io/x": "", "node.kubernetes.io/y": "z"}
    arguments = {a["name"]: a["value"] for a in registration(node(labels=labels))["kubeletExtraArgs"]}
    assert arguments["node-labels"] == "example.org/rack=r1,node.kubernetes.io/y=z,role=worker"


def test_upload_certs_asks_nobody_for_a_version(node: Make) -> None:
    """The phase would otherwise ask the internet which Kubernetes is stable."""
    documents = upload_certs_documents(node(), "k")
    assert documents[1]["kubernetesVersion"] == "v1.37.2"


def test_names_are_served_from_two_nodes_where_there_are_two(node: Make) -> None:
    """CoreDNS's second replica waits for a second node rather than share the first; a lone node has both."""

    def spread(several: bool) -> Any:
        patch: Any = patches(node(several=several))["corednsdeployment2+strategic.yaml"]
        return patch["spec"]["template"]["spec"].get("topologySpreadConstraints")

    (constraint,) = spread(several=True)
    assert (constraint["minDomains"], constraint["whenUnsatisfiable"]) == (2, "DoNotSchedule")
    assert spread(several=False) is None


def test_no_program_of_kubernetes_is_root_by_accident(node: Make) -> None:
    """Each static pod is a user of its own without capabilities, CoreDNS its image's; kube-proxy has one capability."""
    found: Any = patches(node())
    pods = {name: found[f"{name}2+strategic.yaml"]["spec"] for name in STATIC_PODS}
    pods["coredns"] = found["corednsdeployment2+strategic.yaml"]["spec"]["template"]["spec"]
    pods["kube-proxy"] = found["kubeproxydaemonset2+strategic.yaml"]["spec"]["template"]["spec"]
    groups = [pod["securityContext"]["runAsGroup"] for pod in pods.values()]
    assert len(set(groups)) == len(groups), "two programs that share a group read each other's keys"
    for name, pod in pods.items():
        assert violations({**pod, "containers": [{"name": name}]}) == [], name
        assert pod["securityContext"].get("runAsNonRoot", False) is (name != "kube-proxy"), name
    for name in (*STATIC_PODS, "kube-proxy"):
        (container,) = pods[name]["containers"]
        added = container["securityContext"]["capabilities"].get("add", [])
        assert added == (["NET_ADMIN"] if name == "kube-proxy" else []), name


def test_another_configuration_makes_kube_proxy_anew(node: Make) -> None:
    """It reads its configuration at its start only, so its pods carry the digest of it."""

    def digest(made: Node) -> str:
        proxy: Any = patches(made)["kubeproxydaemonset2+strategic.yaml"]
        return str(proxy["spec"]["template"]["metadata"]["annotations"]["bmk.dev/configuration"])

    one = node()
    other = replace(one, cluster={**one.cluster, "network": {**one.cluster["network"], "pods": "10.99.0.0/16"}})
    assert digest(one) == digest(node(timing="emulated")) != digest(other)


def test_every_user_has_a_number_and_files_of_its_own() -> None:
    """No number twice, none that people get; what systemd reads names each path once and no pattern."""
    numbers = [a.number for a in (*accounts.STATIC_PODS.values(), accounts.PROXY)]
    assert len(set(numbers)) == len(numbers)
    assert all(0 < number < 1000 for number in numbers)
    lines = [line.split() for line in accounts.tmpfiles("control_plane").splitlines() if not line.startswith("#")]
    paths = [path for kind, path, *_ in lines if kind != "Z"]
    assert len(paths) == len(set(paths))
    assert not [path for path in paths if set(path) & set("*?[%")]
    assert {owner for *_, owner, _ in lines} == {"root", *accounts.STATIC_PODS}
    assert {tuple(line) for line in accounts.tmpfiles("worker").splitlines()} <= {
        tuple(line) for line in accounts.tmpfiles("control_plane").splitlines()
    }


def test_a_private_key_is_open_to_its_users_only() -> None:
    """Nobody reads a key but root and its program; one key has two readers, and neither group has more in it."""
    keys = [o for o in accounts.BY_PATH.values() if o.path.endswith((".key", ".conf", "encryption.yaml"))]
    assert all(not o.mode & 0o137 for o in keys)
    assert {o.path for o in keys if o.mode & 0o040} == {
        "/etc/kubernetes/pki/sa.key",
        "/etc/kubernetes/bmk/encryption.yaml",
    }


@pytest.mark.parametrize(("prefix", "room"), [(24, None), (25, None), (26, 61), (27, 29), (28, 13)])
def test_a_kubelet_takes_no_more_pods_than_its_range_has_addresses(node: Make, prefix: int, room: int | None) -> None:
    """With 110 pods in a /28 the fourteenth would wait for an address for ever."""
    kubelet = patches(node(node_prefix=prefix)).get("kubeletconfiguration+strategic.yaml", {})
    assert (kubelet["maxPods"] if kubelet else None) == room  # type: ignore[call-overload]
