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
    upload_certs_documents,
)

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


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("standard-vip", {}),
        ("standard-single", {"vip": None}),
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
    """Real hardware gets no patch, no time-out and no lease of ours."""
    text = _text(init_documents(node(vip=None)))
    assert patches(node(vip=None)) == {}
    for word in ("timeouts", "leader-elect", "heartbeat", "housekeeping", "GODEBUG"):
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
