"""Control planes: static pods, keys, certificates."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("control_plane")
PODS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


def test_the_api_answers(host: Any) -> None:
    """The API server of this very host is ready."""
    assert host.check_output("curl -sk --max-time 10 https://127.0.0.1:6443/readyz") == "ok"


def test_static_pods_are_roots_alone(host: Any) -> None:
    """CIS 1.1: four of them, and nobody else may even read them."""
    there = host.check_output("ls /etc/kubernetes/manifests").split()
    assert sorted(there) == [f"{name}.yaml" for name in PODS]
    for name in there:
        file = host.file(f"/etc/kubernetes/manifests/{name}")
        assert (file.user, file.group, file.mode) == ("root", "root", 0o600), name


def test_keys_are_roots_alone(host: Any) -> None:
    """CIS 1.1.21: no private key can be read by another user."""
    assert host.check_output("find /etc/kubernetes/pki -name '*.key' -perm /0077") == ""


def test_certificates_hold_for_a_month(host: Any) -> None:
    """None of them ends within 30 days."""
    check = "openssl x509 -noout -checkend 2592000 -in $f >/dev/null || echo $f"
    assert host.check_output(f"find /etc/kubernetes/pki -name '*.crt' | while read -r f; do {check}; done") == ""
