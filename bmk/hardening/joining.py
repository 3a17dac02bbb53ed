"""Who may give a node its first identity: not Kubernetes, which approves any name for any ticket of kubeadm's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Object = Mapping[str, Any]

# kubeadm's binding by which whoever holds a ticket may become any node; every new cluster is born with it
AUTOMATIC = "kubeadm:node-autoapprove-bootstrap"
_NODECLIENT = "certificatesigningrequests/nodeclient"


def gives_any_name(rule: Object) -> bool:
    """Whether a rule names the right to have a client certificate approved for any node. Renewals are another right."""
    return _NODECLIENT in (rule.get("resources") or ()) and bool({"create", "*"} & set(rule.get("verbs") or ()))


def automatic(roles: Iterable[Object], bindings: Iterable[Object]) -> list[str]:
    """Names of bindings by which Kubernetes approves any node's name for whoever they name: there should be none."""
    giving = {role["metadata"]["name"] for role in roles if any(map(gives_any_name, role.get("rules") or ()))}
    return sorted(b["metadata"]["name"] for b in bindings if b["roleRef"]["name"] in giving)
