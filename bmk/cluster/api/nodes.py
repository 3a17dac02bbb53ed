"""Nodes: readiness, objects, labels, the settings of their kubelets, and what kubeadm keeps of the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from lightkube.core.resource import ApiInfo, GlobalSubResource, ResourceDef
from lightkube.resources.core_v1 import ConfigMap, Node
from lightkube.types import PatchType

from bmk.cluster.api.connection import ApiConnection, absent

Readiness = Literal["ready", "not-ready"]


class NodesApi:
    """What drift, observing and the smoke test ask about nodes."""

    def __init__(self, connection: ApiConnection) -> None:
        self._connection = connection

    def readiness(self) -> dict[str, Readiness]:
        """Every node and whether it is Ready."""
        with self._connection.errors():
            return dict(_readiness(n) for n in self._connection.list(Node))

    def objects(self) -> list[dict[str, Any]]:
        """Every node as plain data of the API."""
        with self._connection.errors():
            return [n.to_dict() for n in self._connection.list(Node)]

    def kubelet_settings(self, name: str) -> dict[str, Any]:
        """The running configuration of a node's kubelet, read from it through the API server."""
        with self._connection.errors():
            kind: Any = _Configz
            answer: Any = self._connection.client.get(kind, name)
            return dict(answer["kubeletconfig"])

    def kubeadm_configuration(self) -> str:
        """The ClusterConfiguration that `kubeadm init` kept in the cluster, as YAML; "" when there is none."""
        with self._connection.errors():
            kept = self._connection.find(ConfigMap, "kubeadm-config", namespace="kube-system")
            return str(((kept and kept.data) or {}).get("ClusterConfiguration", ""))

    def patch(self, name: str, patch: Mapping[str, Any]) -> None:
        """Merge into a node; None removes."""
        with self._connection.errors():
            self._connection.client.patch(Node, name, dict(patch), patch_type=PatchType.MERGE)

    def delete(self, name: str) -> None:
        """Delete a node; fine when there is none."""
        with self._connection.errors(), absent():
            self._connection.client.delete(Node, name)


class _Configz(dict[str, Any], GlobalSubResource):
    """The kubelet's live configuration, a subresource of its node that the library does not know."""

    _api_info = ApiInfo(
        resource=ResourceDef("", "v1", "Node"), plural="nodes", verbs=["get"],
        parent=ResourceDef("", "v1", "Node"), action="proxy/configz",
    )  # fmt: skip


def _readiness(node: Any) -> tuple[str, Readiness]:
    conditions = (node.status.conditions or []) if node.status else []
    good = any(c.type == "Ready" and c.status == "True" for c in conditions)
    return node.metadata.name, "ready" if good else "not-ready"
