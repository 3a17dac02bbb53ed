"""Every row of admission, asked of a real API server."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bmk.cluster.api import Api
from bmk.errors import BmkError, Unreachable
from bmk.hardening import policy
from bmk.hardening.policy import LABEL, POLICY, violations
from tests.services.hardening.conftest import ADMIN, GROUPS, NOBODY, Server

pytestmark = pytest.mark.services
STRICT = {"runAsUser": 1000, "runAsGroup": 3000, "supplementalGroups": [4000], "supplementalGroupsPolicy": "Strict"}
GROUP = "runAsGroup must be set and non-zero"
Space = Callable[..., str]
_numbers = itertools.count()


def pod(namespace: str, name: str = "p", context: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A pod with one container; `context` is its security context."""
    containers = [{"name": "main", "image": "i", **spec.pop("container", {})}]
    body = {"containers": containers, "securityContext": context or {}, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": body}


def own(group: int) -> dict[str, Any]:
    return {"securityContext": {"runAsGroup": group}}


@pytest.fixture(scope="module", autouse=True)
def policies(server: Server) -> None:
    """The policies as `bmk provision` puts them in, and in force."""
    with server.api() as api:
        for body in policy.objects(GROUPS):
            api.apply(body)
    assert server.kubectl("create", "namespace", "named").returncode == 0
    _until(lambda: not server.apply(pod("named", f"wait-{next(_numbers)}"))[0])


@pytest.fixture
def space(server: Server) -> Space:
    """A fresh namespace: space("deny") with that label, space() without."""

    def make(mode: str | None = None, **labels: str) -> str:
        name = f"n{next(_numbers)}"
        wanted = {**({LABEL: mode} if mode else {}), **labels}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": wanted}}
        admitted, said = server.apply(body)
        assert admitted, said
        return name

    return make


ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "user only": ({"context": {"runAsUser": 1000}}, GROUP),
    "nothing at all": ({}, GROUP),
    "named group": ({"context": STRICT}, ""),
    "container overrides with 0": ({"context": STRICT, "container": own(0)}, f"{GROUP}.*: main"),
    "group of the container only": ({"context": {"supplementalGroupsPolicy": "Strict"}, "container": own(5)}, ""),
    "supplementary 0": ({"context": {**STRICT, "supplementalGroups": [4000, 0]}}, "supplementalGroups must not have 0"),
    "fsGroup 0": ({"context": {**STRICT, "fsGroup": 0}}, "fsGroup must not be 0"),
    "groups of the image": ({"context": {**STRICT, "supplementalGroupsPolicy": "Merge"}}, "must be Strict"),
    "policy not said": ({"context": {"runAsUser": 1, "runAsGroup": 1}}, "must be Strict"),
    "user namespace": ({"hostUsers": False}, ""),
    "init container with 0": (
        {"context": STRICT, "initContainers": [{"name": "before", "image": "i", **own(0)}]},
        f"{GROUP}.*: before",
    ),
    "windows": ({"os": {"name": "windows"}}, ""),
}


@pytest.mark.parametrize("row", ROWS)
def test_deny_refuses_group_0_and_says_why(server: Server, space: Space, row: str) -> None:
    """In a namespace that denies, a pod is admitted exactly when no container can have group 0, with our message."""
    spec, message = ROWS[row]
    body = pod(space("deny"), **json.loads(json.dumps(spec)))
    admitted, said = server.apply(body)
    assert admitted == (message == ""), said
    if message:
        assert _matches(message, said), said
        assert "bmk: " in said
    assert (violations(body["spec"]) == []) == admitted, "the report would say something else"


def test_warn_admits_and_tells_who_asks(server: Server, space: Space) -> None:
    """In a namespace that warns the pod runs, and whoever made it reads why it would be refused."""
    admitted, said = server.apply(pod(space("warn")))
    assert admitted
    assert GROUP in said


def test_audit_admits_in_silence_and_writes_it_down(server: Server, space: Space) -> None:
    """In a namespace that audits nobody is bothered, and the audit log names the pod and the policy."""
    namespace = space("audit")
    admitted, said = server.apply(pod(namespace))
    assert admitted
    assert "bmk:" not in said
    _until(lambda: any(POLICY in text for text in _annotations(server, namespace)))


def test_the_default_holds_where_nothing_is_said(server: Server, space: Space) -> None:
    """A namespace without label has the default of the data center file (here: warn)."""
    admitted, said = server.apply(pod(space()))
    assert admitted
    assert GROUP in said


def test_the_file_wins_over_the_label(server: Server) -> None:
    """A namespace that the data center file names has the mode of the file, whatever its label says."""
    assert server.kubectl("label", "namespace", "named", f"{LABEL}=audit", "--overwrite").returncode == 0
    assert not server.apply(pod("named", "q"))[0]


def test_an_exempt_namespace_is_left_alone(server: Server) -> None:
    """kube-system runs what it must, also when somebody labels it."""
    assert server.kubectl("label", "namespace", "kube-system", f"{LABEL}=deny", "--overwrite").returncode == 0
    admitted, said = server.apply(pod("kube-system"))
    assert admitted, said
    assert "bmk" not in said


@pytest.mark.parametrize("label", ["dney", "Deny", "off", ""])
def test_a_typo_in_the_label_is_refused(server: Server, label: str) -> None:
    """A mode that does not exist is no mode: the label is refused at once instead of meaning the default."""
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "typo", "labels": {LABEL: label}}}
    admitted, said = server.apply(body)
    assert not admitted
    assert "audit, warn, deny" in said


def test_an_ephemeral_container_with_group_0_is_refused(server: Server, space: Space) -> None:
    """`kubectl debug` of a pod that is fine cannot bring group 0 in; one that names its group can come."""
    namespace = space("deny")
    assert server.apply(pod(namespace, context=STRICT))[0]
    done = _debug(server, namespace, {"name": "bad", "image": "i", **own(0)})
    assert done.returncode
    assert GROUP in done.stderr
    assert _debug(server, namespace, {"name": "good", "image": "i", **own(7)}).returncode == 0


def test_a_pod_from_before_can_be_debugged_and_finished(server: Server, space: Space) -> None:
    """A pod that was there before deny: it loses its finalizer and takes labels; only what is added is looked at."""
    namespace = space("audit")
    body = pod(namespace)
    body["metadata"]["finalizers"] = ["example.net/hold"]
    assert server.apply(body)[0]
    assert server.kubectl("label", "namespace", namespace, f"{LABEL}=deny", "--overwrite").returncode == 0
    _until(lambda: not server.apply(pod(namespace, "other"))[0])
    assert server.kubectl("-n", namespace, "label", "pod", "p", "a=b").returncode == 0
    assert _debug(server, namespace, {"name": "good", "image": "i", **own(7)}).returncode == 0
    assert _debug(server, namespace, {"name": "bad", "image": "i"}).returncode != 0
    patch = '{"metadata":{"finalizers":null}}'
    assert server.kubectl("-n", namespace, "patch", "pod", "p", "--type=merge", "-p", patch).returncode == 0
    assert server.kubectl("-n", namespace, "delete", "pod", "p", "--now").returncode == 0


TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "main", "image": "i"}]}}
SELECTOR = {"matchLabels": {"a": "b"}}
ONCE = {**TEMPLATE, "spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}
WORKLOADS: dict[str, tuple[str, dict[str, Any]]] = {
    "Deployment": ("apps/v1", {"selector": SELECTOR, "template": TEMPLATE}),
    "StatefulSet": ("apps/v1", {"selector": SELECTOR, "template": TEMPLATE, "serviceName": "s"}),
    "DaemonSet": ("apps/v1", {"selector": SELECTOR, "template": TEMPLATE}),
    "ReplicaSet": ("apps/v1", {"selector": SELECTOR, "template": TEMPLATE}),
    "ReplicationController": ("v1", {"selector": {"a": "b"}, "template": TEMPLATE}),
    "Job": ("batch/v1", {"template": ONCE}),
    "CronJob": ("batch/v1", {"schedule": "0 0 * * *", "jobTemplate": {"spec": {"template": ONCE}}}),
}


@pytest.mark.parametrize("kind", WORKLOADS)
def test_a_template_warns_early(server: Server, space: Space, kind: str) -> None:
    """Where pods would be refused, their workload is accepted with a warning."""
    version, spec = WORKLOADS[kind]
    body = {"apiVersion": version, "kind": kind, "metadata": {"name": "w", "namespace": space("deny")}, "spec": spec}
    admitted, said = server.apply(body)
    assert admitted, said
    assert f"{GROUP} (or set hostUsers: false): main" in said


def test_a_good_template_is_silent(server: Server, space: Space) -> None:
    """A workload whose pods name their groups gets no warning."""
    template = {**TEMPLATE, "spec": {**TEMPLATE["spec"], "securityContext": STRICT}}
    spec = {"selector": SELECTOR, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "w", "namespace": space("deny")}}
    admitted, said = server.apply({**body, "spec": spec})
    assert admitted
    assert "bmk:" not in said


def test_an_api_that_knows_no_roles_yet_is_asked_again_and_what_admission_refuses_is_not(
    server: Server, space: Space, tmp_path: Path
) -> None:
    """An API server that has just started denies all to its administrator, in the words for a user without roles."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(server.kubeconfig.read_text().replace(ADMIN, NOBODY))
    with Api(kubeconfig) as api:
        for ask in (
            api.approvals.waiting_requests,
            api.nodes.readiness,
            lambda: api.create(pod("default", context=STRICT)),
        ):
            with pytest.raises(Unreachable, match="not ready") as passing:
                ask()
            assert "nobody" in (passing.value.why or "")
    with server.api() as api, pytest.raises(BmkError) as refusal:
        api.create(pod(space("deny")))
    assert not refusal.value.retryable


def test_policies_are_upgraded_in_place(server: Server) -> None:
    """An older or edited policy differs, is put right without being deleted, and what bmk no longer wants goes."""
    old = policy.objects({**GROUPS, "namespaces": {"named": "warn", "gone": "deny"}})
    wanted = policy.objects(GROUPS)
    with server.api() as api:
        before = _uid(server)
        for body in old:
            api.apply(body)
        server.kubectl(
            "patch", "validatingadmissionpolicy", POLICY, "--type=merge", "-p", '{"spec":{"failurePolicy":"Ignore"}}'
        )
        wrong = policy.differing(wanted, api.policies.objects())
        assert f"ValidatingAdmissionPolicy/{POLICY}" in wrong
        assert f"ValidatingAdmissionPolicyBinding/{POLICY}-warn-named" in wrong
        for body in wanted:
            if policy.key(body) in wrong:
                api.apply(body)
        mine = {policy.key(body) for body in wanted}
        for name in set(wrong) - mine:
            api.policies.delete(*name.split("/"))
        assert policy.differing(wanted, api.policies.objects()) == []
    assert _uid(server) == before


def test_the_expressions_are_sound(server: Server) -> None:
    """The server's own type check of the policy on pods has nothing to say."""
    shown = json.loads(server.kubectl("get", "validatingadmissionpolicy", POLICY, "-o", "json").stdout)
    assert not shown.get("status", {}).get("typeChecking", {}).get("expressionWarnings")


def test_anonymous_sees_health_and_nothing_else(server: Server) -> None:
    """Without credentials: health answers, everything else is 401, not an empty list."""
    for path, code in (("/readyz", 200), ("/livez", 200), ("/api", 401), ("/version", 401), ("/metrics", 401)):
        assert server.ask(path)[0] == code, path


def test_secrets_are_encrypted_from_the_first(server: Server) -> None:
    """What etcd holds of a secret is not its value."""
    assert server.kubectl("create", "secret", "generic", "s", "--from-literal=k=canary-value").returncode == 0
    raw = b"".join(p.read_bytes() for p in (server.directory / "etcd").rglob("*") if p.is_file())
    assert b"k8s:enc:secretbox:v1:key1" in raw
    assert b"canary-value" not in raw


def test_the_audit_log_never_has_a_secrets_content(server: Server) -> None:
    """Secrets are audited by name; pods are audited with what was asked."""
    assert server.kubectl("create", "secret", "generic", "t", "--from-literal=k=canary-audit").returncode == 0
    _until(lambda: any(e["objectRef"].get("name") == "t" for e in server.audit() if "objectRef" in e))
    assert "canary-audit" not in (server.directory / "audit.log").read_text()
    assert any("requestObject" in e for e in server.audit() if e.get("objectRef", {}).get("resource") == "pods")


def test_pod_security_is_pinned_and_enforced(server: Server, space: Space) -> None:
    """A namespace that asks for restricted refuses a pod that is not, with the version of this cluster."""
    namespace = space(**{"pod-security.kubernetes.io/enforce": "restricted"})
    admitted, said = server.apply(pod(namespace, context=STRICT))
    assert not admitted
    assert "violates PodSecurity" in said
    assert "restricted:latest" in said or f"restricted:v{server.version.rpartition('.')[0]}" in said


def _debug(server: Server, namespace: str, container: dict[str, Any]) -> Any:
    patch = json.dumps({"spec": {"ephemeralContainers": [container]}})
    arguments = [
        "-n",
        namespace,
        "patch",
        "pod",
        "p",
        "--subresource=ephemeralcontainers",
        "--type=strategic",
        "-p",
        patch,
    ]
    return server.kubectl(*arguments)


def _annotations(server: Server, namespace: str) -> list[str]:
    mine = [e for e in server.audit() if e.get("objectRef", {}).get("namespace") == namespace]
    return [json.dumps(e.get("annotations", {})) for e in mine]


def _uid(server: Server) -> str:
    return server.kubectl("get", "validatingadmissionpolicy", POLICY, "-o", "jsonpath={.metadata.uid}").stdout


def _matches(pattern: str, text: str) -> bool:
    return re.search(pattern, text) is not None


def _until(true: Callable[[], Any], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
