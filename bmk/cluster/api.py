"""What bmk asks of a Kubernetes API. The one place that knows lightkube; everything else speaks of plain values.

with Api(kubeconfig) as api: api.nodes()        with the administrator's kubeconfig
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import httpx2
import httpx2.websockets
from lightkube import Client, KubeConfig
from lightkube.codecs import from_dict
from lightkube.core.decoders import decode_list, decode_status
from lightkube.core.exceptions import ApiError, ConfigError
from lightkube.core.resource import ApiInfo, GlobalSubResource, NamespacedResource, ResourceDef
from lightkube.models.certificates_v1 import CertificateSigningRequestCondition
from lightkube.resources.admissionregistration_v1 import (
    ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding,
)
from lightkube.resources.apiregistration_v1 import APIService
from lightkube.resources.apps_v1 import DaemonSet, Deployment
from lightkube.resources.certificates_v1 import CertificateSigningRequest
from lightkube.resources.core_v1 import ConfigMap, Namespace, Node, Pod, Secret, Service, ServiceAccount
from lightkube.resources.networking_v1 import NetworkPolicy
from lightkube.resources.policy_v1 import PodDisruptionBudget
from lightkube.resources.rbac_authorization_v1 import ClusterRole, ClusterRoleBinding, Role, RoleBinding
from lightkube.types import CascadeType, PatchType

from bmk import permit
from bmk.cluster.waiting import waits_for
from bmk.errors import ODD, BmkError, Unreachable
from bmk.hardening.objects import MANAGED

TICKET = "bmk: "  # the description of a bootstrap token begins with it, then comes the host that it is for
Readiness = Literal["ready", "not-ready"]


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """A certificate signing request that waits. `pem` is PKCS#10 in PEM."""

    name: str
    signer: str
    username: str
    groups: tuple[str, ...]
    usages: tuple[str, ...]
    pem: bytes


@dataclass(frozen=True, slots=True)
class PodState:
    """A pod as the smoke test needs it. `why` says what it waits for or died of."""

    name: str
    phase: str
    ready: bool
    ip: str | None
    node: str | None
    why: str = ""


class Api:
    """One cluster's API with a kubeconfig. Every call raises Unreachable when it does not answer in `seconds`."""

    def __init__(self, kubeconfig: Path, seconds: float = 15) -> None:
        self._where = str(kubeconfig)
        self._seconds = seconds
        with self._errors():
            self._config = KubeConfig.from_file(kubeconfig)
            if any(user.exec or user.auth_provider for user in self._config.users.values()):
                raise ConfigError("it names a command to run, which bmk never does")
            self._client = self._connect()

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def nodes(self) -> dict[str, Readiness]:
        """Every node and whether it is Ready."""
        with self._errors():
            return dict(_readiness(n) for n in self._client.list(Node))

    def plain_nodes(self) -> list[dict[str, Any]]:
        """Every node as the API says it."""
        with self._errors():
            return [n.to_dict() for n in self._client.list(Node)]

    def plain_pods(self, namespace: str) -> list[dict[str, Any]]:
        """Pods of a namespace as the API says them."""
        with self._errors():
            return [p.to_dict() for p in self._client.list(Pod, namespace=namespace)]

    def kubelet_settings(self, name: str) -> dict[str, Any]:
        """What the kubelet of a node runs with, asked of itself through the API server."""
        with self._errors():
            kind: Any = _Configz
            answer: Any = self._client.get(kind, name)
            return dict(answer["kubeletconfig"])

    def plain_roles(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Roles of the whole cluster, and bindings of the whole cluster and of namespaces, as the API says them."""
        with self._errors():
            bound = [*self._list(ClusterRoleBinding), *self._list(RoleBinding)]
            return [r.to_dict() for r in self._list(ClusterRole)], [b.to_dict() for b in bound]

    def patch_node(self, name: str, patch: Mapping[str, Any]) -> None:
        """Merge into a node; None removes."""
        with self._errors():
            self._client.patch(Node, name, dict(patch), patch_type=PatchType.MERGE)

    def delete_binding(self, name: str, namespace: str = "") -> None:
        """Delete a ClusterRoleBinding, or the RoleBinding of a namespace; fine when there is none."""
        with self._errors():
            try:
                if namespace:
                    self._client.delete(RoleBinding, name, namespace=namespace)
                else:
                    self._client.delete(ClusterRoleBinding, name)
            except ApiError as error:
                if error.response.status_code != 404:
                    raise

    def authority(self) -> str:
        """The cluster's authority, as PEM; "" when the kubeconfig names none."""
        config = self._config.get()
        return base64.b64decode((config and config.cluster.certificate_auth_data) or "").decode()

    def ticket(self, token_id: str) -> str | None:
        """The host that a bootstrap token is for; None when there is none, it is over, or bmk did not make it."""
        with self._errors():
            try:
                data = self._client.get(Secret, f"bootstrap-token-{token_id}", namespace="kube-system").data or {}
            except ApiError as error:
                if error.response.status_code == 404:
                    return None
                raise
            told = {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}
            end, text = told.get("expiration", ""), told.get("description", "")
            living = bool(end) and datetime.fromisoformat(end) > datetime.now(UTC)
            return text.removeprefix(TICKET) if living and text.startswith(TICKET) else None

    def waiting_requests(self) -> list[SigningRequest]:
        """Signing requests that nobody approved or denied."""
        with self._errors():
            found: list[Any] = list(self._client.list(CertificateSigningRequest))
            return [_request(csr) for csr in found if not (csr.status and csr.status.conditions)]

    def approve(self, name: str, reason: str, message: str) -> None:
        """Approve a signing request."""
        with self._errors():
            csr: Any = self._client.get(CertificateSigningRequest, name)
            condition = CertificateSigningRequestCondition("True", "Approved", reason=reason, message=message)
            csr.status.conditions = [*(csr.status.conditions or []), condition]
            answer: Any = CertificateSigningRequest.Approval.from_dict(csr.to_dict())
            self._client.replace(answer, name)

    def create(self, manifest: Mapping[str, Any]) -> None:
        """Create an object; fine when it is there already."""
        with self._errors():
            try:
                self._client.create(from_dict(dict(manifest)))
            except ApiError as error:
                if error.status.reason != "AlreadyExists":
                    raise

    def apply(self, manifest: Mapping[str, Any]) -> None:
        """Make an object as the manifest has it; what others set in it against that is overruled."""
        with self._errors():
            self._client.apply(from_dict(dict(manifest)), field_manager="bmk", force=True)

    def policies(self) -> list[dict[str, Any]]:
        """Validating admission policies and their bindings, and what else bmk made, as plain data without secrets."""
        with self._errors():
            found = [one for kind in _POLICIES for one in _plain(self._client.list(_POLICIES[kind]), kind)]
            made = [one for kind in _MADE for one in _plain(self._made(_MADE[kind]), kind)]
            return found + [{key: value for key, value in one.items() if key != "data"} for one in made]

    def namespaces(self) -> list[str]:
        """Names of all namespaces."""
        with self._errors():
            found: Any = self._client.list(Namespace)
            return [n.metadata.name for n in found]

    def hardening(self) -> dict[str, Any]:
        """Everything that the controls of a cluster ask about, as plain data; never a token, only its end."""
        with self._errors():
            found: dict[str, Any] = {
                key: tuple(_plain(self._list(kind), kind.__name__)) for key, kind in _ASKED.items()
            }
            bound = [*self._list(ClusterRoleBinding), *self._list(RoleBinding)]
            roles = [*self._list(ClusterRole), *self._list(Role)]
            tokens = [_token(s) for s in self._client.list(Secret, namespace="kube-system", fields=_TOKENS)]
            proxy = self._kube_proxy()
            bindings, plain = tuple(_plain(bound, "")), tuple(_plain(roles, ""))
        policies = tuple(self.policies())
        return {**found, "role_bindings": bindings, "roles": plain, "tokens": tuple(tokens), "kube_proxy": proxy,
                "policies": policies}  # fmt: skip

    def _list(self, kind: Any, **more: Any) -> Iterable[Any]:
        everywhere: dict[str, Any] = {"namespace": "*"} if issubclass(kind, NamespacedResource) else {}
        listed: Iterable[Any] = self._client.list(kind, **everywhere, **more)
        return listed

    def _made(self, kind: Any) -> Iterable[Any]:
        return self._list(kind, labels=MANAGED)

    def _kube_proxy(self) -> str:
        try:
            return str(
                (self._client.get(ConfigMap, "kube-proxy", namespace="kube-system").data or {}).get("config.conf", "")
            )
        except ApiError as error:
            if error.response.status_code == 404:
                return ""
            raise

    def delete_policy(self, kind: str, name: str, namespace: str = "") -> None:
        """Take a policy or a binding out, or what else bmk made."""
        place: dict[str, Any] = {"namespace": namespace} if namespace else {}
        with self._errors():
            self._client.delete({**_POLICIES, **_MADE}[kind], name, **place)

    def pods(self, namespace: str, labels: Mapping[str, str] | None = None) -> list[PodState]:
        """Pods of a namespace."""
        with self._errors():
            return [_pod(p) for p in self._client.list(Pod, namespace=namespace, labels=dict(labels or {}))]

    def pod_status(self, namespace: str, name: str) -> dict[str, Any]:
        """The status of a pod as plain data."""
        with self._errors():
            return dict(self._client.get(Pod, name, namespace=namespace).to_dict().get("status", {}))

    def service_address(self, namespace: str, name: str) -> str:
        """Cluster IP of a service."""
        with self._errors():
            service: Any = self._client.get(Service, name, namespace=namespace)
            return str(service.spec.clusterIP)

    def execute(self, namespace: str, pod: str, command: list[str], seconds: float = 30) -> tuple[int, str]:
        """Exit code and output of a command in a pod, through its kubelet (whose serving certificate is so proven)."""
        # A connection of its own: one whose command was given up is still read from, and would spoil the next request.
        with self._errors(), closing(self._connect()) as client:
            done: Any = client.exec(
                pod, namespace=namespace, command=command, stdout=True, stderr=True, timeout=seconds
            )
            return int(done.exit_code or 0), f"{done.stdout or ''}{done.stderr or ''}".strip()

    def logs(self, namespace: str, pod: str) -> str:
        """What a pod has printed, through its kubelet."""
        with self._errors():
            return "".join(self._client.log(pod, namespace=namespace))

    def delete_namespace(self, name: str, seconds: float = 120) -> None:
        """Delete a namespace with all that is in it, and wait until it is gone; fine when there is none."""
        with self._errors():
            try:
                self._client.delete(Namespace, name, cascade=CascadeType.FOREGROUND)
            except ApiError as error:
                if error.response.status_code != 404:
                    raise
            wait_for(lambda: not self._has_namespace(name), seconds, f"namespace {name} is gone")

    def _has_namespace(self, name: str) -> bool:
        try:
            self._client.get(Namespace, name)
        except ApiError as error:
            if error.response.status_code == 404:
                return False
            raise
        return True

    def _connect(self) -> Client:
        client = Client(config=self._config.get(), timeout=httpx2.Timeout(self._seconds), trust_env=False)
        client._client._client.event_hooks = {"request": [_demand_permit]}  # every way to write passes here
        return client

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Foreign errors become ours."""
        try:
            yield
        except (httpx2.TransportError, httpx2.websockets.HTTPXWSException, TimeoutError) as error:
            raise Unreachable(
                "the Kubernetes API does not answer", where=self._where, why=str(error) or type(error).__name__
            ) from error
        except ApiError as error:
            if error.response is not None and error.response.status_code >= 500:
                raise Unreachable("the Kubernetes API is not ready", where=self._where, why=str(error)) from error
            raise BmkError("the Kubernetes API refused", where=self._where, why=str(error)) from error
        except (ConfigError, OSError) as error:
            raise BmkError("this kubeconfig cannot be used", where=self._where, why=str(error)) from error
        except ODD as error:  # after ConfigError: parts of what it passes on are a kubelet's
            why = f"{type(error).__name__}: {error}"[:200]
            raise BmkError(
                "an answer of the Kubernetes API cannot be understood", where=self._where, why=why
            ) from error


class _Configz(dict[str, Any], GlobalSubResource):
    """The kubelet's live configuration, as a part of its node: the library has no name for it."""

    _api_info = ApiInfo(
        resource=ResourceDef("", "v1", "Node"), plural="nodes", verbs=["get"],
        parent=ResourceDef("", "v1", "Node"), action="proxy/configz",
    )  # fmt: skip


def _demand_permit(request: httpx2.Request) -> None:
    if request.method not in ("GET", "HEAD"):
        permit.demand()


def wait_for(true: Callable[[], bool], seconds: float, what: str, pause: float = 0.5) -> None:
    """Poll until true; BmkError naming `what` when the time is over."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() >= end:
            raise BmkError(f"waited {seconds:g} s in vain: {what}")
        time.sleep(pause)


_POLICIES: dict[str, Any] = {
    "ValidatingAdmissionPolicy": ValidatingAdmissionPolicy,
    "ValidatingAdmissionPolicyBinding": ValidatingAdmissionPolicyBinding,
}


_MADE: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        *(ServiceAccount, Secret, ClusterRole, ClusterRoleBinding, RoleBinding, NetworkPolicy),
        *(Service, DaemonSet, Deployment, PodDisruptionBudget, APIService),
    )
}
_ASKED: dict[str, Any] = {"nodes": Node, "pods": Pod, "namespaces": Namespace}
_TOKENS: dict[str, Any] = {"type": "bootstrap.kubernetes.io/token"}


def _token(secret: Any) -> dict[str, Any]:
    end = (secret.data or {}).get("expiration")
    return {"name": secret.metadata.name, "expiration": base64.b64decode(end).decode() if end else None}


def _plain(found: Iterable[Any], kind: str) -> list[dict[str, Any]]:
    return [{**one.to_dict(), "kind": kind} for one in found]


def _readiness(node: Any) -> tuple[str, Readiness]:
    conditions = (node.status.conditions or []) if node.status else []
    good = any(c.type == "Ready" and c.status == "True" for c in conditions)
    return node.metadata.name, "ready" if good else "not-ready"


def _request(csr: Any) -> SigningRequest:
    spec = csr.spec
    pem = base64.b64decode(spec.request)
    return SigningRequest(
        csr.metadata.name, spec.signerName, spec.username or "", tuple(spec.groups or ()), tuple(spec.usages or ()), pem
    )


def _pod(pod: Any) -> PodState:
    status = pod.status
    ready = any(c.type == "Ready" and c.status == "True" for c in (status.conditions or []))
    return PodState(pod.metadata.name, status.phase or "", ready, status.podIP, pod.spec.nodeName, waits_for(status))


def _learn_types() -> None:
    """Let the decoder learn every type now, in the one thread that imports this module.

    It learns a type from the first answer of its kind, and a second first answer beside it ends the process.
    """
    kinds = (
        *_POLICIES.values(), *_MADE.values(), *_ASKED.values(), Role, RoleBinding,
        CertificateSigningRequest, ConfigMap, Namespace, Node, Pod, Secret, Service,
    )  # fmt: skip
    for kind in kinds:
        decode_list(b'{"items": [], "metadata": {}}', kind)
    decode_status(b"{}")
    link = {"cluster": "x", "user": "x", "server": "https://x"}
    KubeConfig.from_dict({part + "s": [{"name": "x", part: link}] for part in ("cluster", "context", "user")})


_learn_types()
