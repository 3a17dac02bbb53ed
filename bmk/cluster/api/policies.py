"""Admission policies, roles and all else that bmk makes in a cluster, and the evidence for hardening controls."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from lightkube.resources.admissionregistration_v1 import ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding
from lightkube.resources.apiregistration_v1 import APIService
from lightkube.resources.apps_v1 import DaemonSet, Deployment
from lightkube.resources.core_v1 import ConfigMap, Namespace, Node, Pod, Secret, Service, ServiceAccount
from lightkube.resources.networking_v1 import NetworkPolicy
from lightkube.resources.policy_v1 import PodDisruptionBudget
from lightkube.resources.rbac_authorization_v1 import ClusterRole, ClusterRoleBinding, Role, RoleBinding

from bmk.cluster.api.connection import ApiConnection, absent
from bmk.hardening.addons import MANAGED

_POLICIES: dict[str, Any] = {
    kind.__name__: kind for kind in (ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding)
}
_MADE: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        *(ServiceAccount, Secret, ClusterRole, ClusterRoleBinding, RoleBinding, NetworkPolicy),
        *(Service, DaemonSet, Deployment, PodDisruptionBudget, APIService),
    )
}
_EVIDENCE: dict[str, Any] = {"nodes": Node, "pods": Pod, "namespaces": Namespace}
KINDS = (*_POLICIES.values(), *_MADE.values(), *_EVIDENCE.values(), Role, ConfigMap)
_TOKENS: dict[str, Any] = {"type": "bootstrap.kubernetes.io/token"}


class PoliciesApi:
    """What the admission policies' phase, drift and the hardening report ask; all results are plain data."""

    def __init__(self, connection: ApiConnection) -> None:
        self._connection = connection

    def objects(self) -> list[dict[str, Any]]:
        """Validating admission policies with their bindings, and other objects that bmk made; without secrets."""
        with self._connection.errors():
            found = [one for kind, of in _POLICIES.items() for one in _plain(self._connection.list(of), kind)]
            for kind, of in _MADE.items():
                made = _plain(self._connection.list(of, labels=MANAGED), kind)
                found += [{key: value for key, value in one.items() if key != "data"} for one in made]
            return found

    def delete(self, kind: str, name: str, namespace: str = "") -> None:
        """Delete a policy, a binding, or another object that bmk made."""
        place: dict[str, Any] = {"namespace": namespace} if namespace else {}
        with self._connection.errors():
            self._connection.client.delete({**_POLICIES, **_MADE}[kind], name, **place)

    def namespaces(self) -> list[str]:
        """Names of all namespaces."""
        with self._connection.errors():
            return [n.metadata.name for n in self._connection.list(Namespace)]

    def roles(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Cluster roles, and the bindings of the cluster and of all namespaces."""
        with self._connection.errors():
            return [r.to_dict() for r in self._connection.list(ClusterRole)], [b.to_dict() for b in self._bindings()]

    def delete_binding(self, name: str, namespace: str = "") -> None:
        """Delete a ClusterRoleBinding, or the RoleBinding of a namespace; fine when there is none."""
        with self._connection.errors(), absent():
            if namespace:
                self._connection.client.delete(RoleBinding, name, namespace=namespace)
            else:
                self._connection.client.delete(ClusterRoleBinding, name)

    def evidence(self) -> dict[str, Any]:
        """Everything that the controls of a cluster check; of bootstrap tokens only name and expiration."""
        connection = self._connection
        with connection.errors():
            found = {key: tuple(_plain(connection.list(kind), kind.__name__)) for key, kind in _EVIDENCE.items()}
            tokens = connection.list(Secret, namespace="kube-system", fields=_TOKENS)
            proxy = connection.find(ConfigMap, "kube-proxy", namespace="kube-system")
            return {
                **found,
                "role_bindings": tuple(_plain(self._bindings(), "")),
                "roles": tuple(_plain([*connection.list(ClusterRole), *connection.list(Role)], "")),
                "tokens": tuple(_token(secret) for secret in tokens),
                "kube_proxy": str(((proxy.data if proxy is not None else None) or {}).get("config.conf", "")),
                "policies": tuple(self.objects()),
            }

    def _bindings(self) -> list[Any]:
        return [*self._connection.list(ClusterRoleBinding), *self._connection.list(RoleBinding)]


def _token(secret: Any) -> dict[str, Any]:
    end = (secret.data or {}).get("expiration")
    return {"name": secret.metadata.name, "expiration": base64.b64decode(end).decode() if end else None}


def _plain(found: Iterable[Any], kind: str) -> list[dict[str, Any]]:
    return [{**one.to_dict(), "kind": kind} for one in found]
