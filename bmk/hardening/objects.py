"""How an object of bmk's looks in an API: its label says whose it is."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
MANAGED = {"app.kubernetes.io/managed-by": "bmk"}
SPACE = "kube-system"  # the namespace of what bmk runs


def made(api: str, kind: str, name: str, namespace: str = "", **body: Any) -> Object:
    """An object with the label; `body` is what it has beside its metadata."""
    place = {"namespace": namespace} if namespace else {}
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "labels": dict(MANAGED), **place}, **body}
