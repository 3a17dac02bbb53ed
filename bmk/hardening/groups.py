"""Who would run with group 0: the rule of the admission policy, for pods that are there already. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

POLICY = "bmk-nonroot-group"
LABEL = "bmk.dev/nonroot-group"
MODES = ("audit", "warn", "deny")


def violations(pod: Mapping[str, Any]) -> list[str]:
    """What of a pod's spec the policy refuses, in its order; empty for one that it admits."""
    if _exempt(pod):
        return []
    return list(_violations(pod))


def _violations(pod: Mapping[str, Any]) -> Iterator[str]:
    context = pod.get("securityContext") or {}
    at_root = [c["name"] for c in _containers(pod) if not _group(c, context) > 0]
    if at_root:
        yield f"runs with group 0: {', '.join(at_root)}"
    if not all(group > 0 for group in context.get("supplementalGroups") or ()):
        yield "supplementalGroups has 0"
    if not (1 if context.get("fsGroup") is None else context["fsGroup"]) > 0:
        yield "fsGroup is 0"
    if context.get("supplementalGroupsPolicy") != "Strict":
        yield "supplementalGroupsPolicy is not Strict"


def _exempt(pod: Mapping[str, Any]) -> bool:
    return (pod.get("os") or {}).get("name") == "windows" or pod.get("hostUsers") is False


def _containers(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    keys = ("containers", "initContainers", "ephemeralContainers")
    return [container for key in keys for container in pod.get(key) or ()]


def _group(container: Mapping[str, Any], context: Mapping[str, Any]) -> int:
    own = (container.get("securityContext") or {}).get("runAsGroup")
    shared = context.get("runAsGroup")
    return int(own if own is not None else shared if shared is not None else 0)


def mode_of(namespace: str, labels: Mapping[str, str], settings: Mapping[str, Any]) -> str:
    """How the policy stands in a namespace: exempt, audit, warn or deny. dc.yml wins over the label, that over all."""
    if namespace in settings["exempt"]:
        return "exempt"
    named = settings["namespaces"].get(namespace)
    label = labels.get(LABEL)
    return str(named or (label if label in MODES else settings["default"]))
