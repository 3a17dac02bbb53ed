"""Pods and what stands in front of them: states, commands, logs, services and namespaces."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from lightkube.core.exceptions import ApiError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace, Pod, Service
from lightkube.resources.policy_v1 import PodDisruptionBudget
from lightkube.types import CascadeType

from bmk.cluster.api.connection import ApiConnection, absent
from bmk.errors import BmkError


@dataclass(frozen=True, slots=True)
class PodState:
    """A pod as the smoke test needs it. `why`: what it waits for, or why it ended."""

    name: str
    phase: str
    ready: bool
    ip: str | None
    node: str | None
    why: str = ""


class PodsApi:
    """What the smoke test and drift ask about workloads."""

    def __init__(self, connection: ApiConnection) -> None:
        self._connection = connection

    def states(self, namespace: str, labels: Mapping[str, str] | None = None) -> list[PodState]:
        """Pods of a namespace."""
        with self._connection.errors():
            return [_pod(p) for p in self._connection.list(Pod, namespace=namespace, labels=dict(labels or {}))]

    def budgets(self) -> list[dict[str, Any]]:
        """Pod disruption budgets of all namespaces, as plain data of the API."""
        with self._connection.errors():
            return [b.to_dict() for b in self._connection.list(PodDisruptionBudget)]

    def objects(self, namespace: str) -> list[dict[str, Any]]:
        """Pods of a namespace, `*` for all, as plain data of the API."""
        with self._connection.errors():
            return [p.to_dict() for p in self._connection.list(Pod, namespace=namespace)]

    def status(self, namespace: str, name: str) -> dict[str, Any]:
        """The status of a pod as plain data."""
        with self._connection.errors():
            return dict(self._connection.client.get(Pod, name, namespace=namespace).to_dict().get("status", {}))

    def service_address(self, namespace: str, name: str) -> str:
        """Cluster IP of a service."""
        with self._connection.errors():
            service: Any = self._connection.client.get(Service, name, namespace=namespace)
            return str(service.spec.clusterIP)

    def execute(self, namespace: str, pod: str, command: list[str], seconds: float = 30) -> tuple[int, str]:
        """Exit code and output of a command in a pod, through its kubelet, whose serving certificate that verifies."""
        with self._connection.errors(), closing(self._connection.another_client()) as client:
            done: Any = client.exec(
                pod, namespace=namespace, command=command, stdout=True, stderr=True, timeout=seconds
            )
            return int(done.exit_code or 0), f"{done.stdout or ''}{done.stderr or ''}".strip()

    def logs(self, namespace: str, pod: str) -> str:
        """The log of a pod, through its kubelet."""
        with self._connection.errors():
            return "".join(self._connection.client.log(pod, namespace=namespace))

    def on_node(self, node: str) -> list[dict[str, Any]]:
        """Pods of all namespaces on a node, as plain data of the API."""
        with self._connection.errors():
            return [p.to_dict() for p in self._connection.list(Pod, fields={"spec.nodeName": node})]

    def evict(self, namespace: str, name: str) -> str:
        """Ask a pod to leave, as disruption budgets allow; "" when it goes or is gone, else why the API refuses."""
        with self._connection.errors():
            try:
                with absent():
                    eviction: Any = Pod.Eviction(metadata=ObjectMeta(name=name, namespace=namespace))
                    self._connection.client.create(eviction, name, namespace=namespace)
            except ApiError as error:
                if error.response.status_code != 429:  # Too Many Requests: a PodDisruptionBudget allows none now
                    raise
                return str(error.status.message or "a disruption budget allows none now")[:300]
        return ""

    def delete_namespace(self, name: str, seconds: float = 120) -> None:
        """Delete a namespace with its contents, and wait until it is gone; fine when there is none."""
        with self._connection.errors():
            with absent():
                self._connection.client.delete(Namespace, name, cascade=CascadeType.FOREGROUND)
            wait_for(lambda: self._connection.find(Namespace, name) is None, seconds, f"namespace {name} is gone")


def wait_for(true: Callable[[], bool], seconds: float, what: str, pause: float = 0.5) -> None:
    """Poll until true; BmkError naming `what` when the time is over."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() >= end:
            raise BmkError(f"waited {seconds:g} s in vain: {what}")
        time.sleep(pause)


def waits_for(status: Any) -> str:
    """What a pod waits for, or why it ended, in one line; "" for a healthy one. `status` has the API's own fields."""
    if status.reason:  # such as Evicted, with the pressure that the node is under
        return ": ".join(filter(None, (status.reason, status.message)))
    for container in status.containerStatuses or []:
        state = container.state
        if state and (found := state.waiting or state.terminated):
            return ": ".join(filter(None, (found.reason, found.message)))
    unmet = [c.message for c in (status.conditions or []) if c.status != "True" and c.message]
    return unmet[0] if unmet else ""


def _pod(pod: Any) -> PodState:
    status = pod.status
    ready = any(c.type == "Ready" and c.status == "True" for c in (status.conditions or []))
    return PodState(pod.metadata.name, status.phase or "", ready, status.podIP, pod.spec.nodeName, waits_for(status))
