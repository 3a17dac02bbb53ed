"""What a cluster does not have: who asks a real API for it is told so, and gets the object."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from bmk.hardening import policy
from tests.services.hardening.conftest import ADMIN, Server

pytestmark = pytest.mark.services
POLICY = {"podSelector": {}, "policyTypes": ["Ingress"]}


@pytest.fixture(scope="module")
def lacking(server: Server) -> Iterator[Server]:
    """A cluster in which nothing balances and nothing enforces, as `bmk provision` puts it; gone afterwards."""
    wanted = list(policy.warnings(balances=False, enforces=False))
    with server.api() as api:
        for body in wanted:
            api.apply(body)
        end = time.monotonic() + 60
        while not {"LoadBalancer", "NetworkPolicy"} <= _told(server):
            assert time.monotonic() < end, "the policies are not in force"
        yield server
        for body in reversed(wanted):
            api.policies.delete(body["kind"], body["metadata"]["name"])


def _told(server: Server) -> set[str]:
    said = _service(server, "LoadBalancer")[1] + _network_policy(server)[1]
    return {
        word
        for word in ("LoadBalancer", "NetworkPolicy")
        if f"bmk: nothing in this cluster gives a Service of type {word}" in said or f"enforces a {word}" in said
    }


def _service(server: Server, kind: str) -> tuple[bool, str]:
    return _make(server, "v1", "Service", {"type": kind, "ports": [{"port": 80}]})


def _network_policy(server: Server) -> tuple[bool, str]:
    return _make(server, "networking.k8s.io/v1", "NetworkPolicy", POLICY)


def _make(server: Server, api: str, kind: str, spec: dict[str, Any]) -> tuple[bool, str]:
    """Admitted or not, and what was said."""
    plural = "networkpolicies" if kind == "NetworkPolicy" else "services"
    body = {"apiVersion": api, "kind": kind, "metadata": {"generateName": "x", "namespace": "default"}, "spec": spec}
    root = "/api/v1" if api == "v1" else f"/apis/{api}"
    code, said = server.ask(f"{root}/namespaces/default/{plural}", body, ADMIN)
    return code == 201, said


def test_who_makes_a_load_balancer_reads_that_it_stays_pending(lacking: Server) -> None:
    """The Service is there, the warning says what to do; one of another type says nothing."""
    admitted, said = _service(lacking, "LoadBalancer")
    assert admitted
    assert "stays pending" in said
    assert "load_balancers: own" in said
    for kind in ("ClusterIP", "NodePort"):
        admitted, said = _service(lacking, kind)
        assert admitted
        assert "bmk:" not in said


def test_who_makes_a_network_policy_reads_that_nothing_enforces_it(lacking: Server) -> None:
    """It is taken, and says what it does not do."""
    admitted, said = _network_policy(lacking)
    assert admitted
    assert "it has no effect" in said


def test_a_cluster_that_has_both_says_nothing() -> None:
    """Each warning is there only where its thing is not."""
    assert list(policy.warnings(balances=True, enforces=True)) == []
    assert {policy.BALANCER} == {o["metadata"]["name"] for o in policy.warnings(balances=False, enforces=True)}
    assert {policy.ENFORCER} == {o["metadata"]["name"] for o in policy.warnings(balances=True, enforces=False)}
