"""What bmk owns of a whole cluster: its administrators, its policies and what enforces them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bmk.datacenter.resolve import DataCenter
from bmk.drift.flat import flat
from bmk.drift.kind import Kind, Rule, by_api
from bmk.drift.model import Attributes, Desired, Facts
from bmk.errors import PreflightRefused
from bmk.hardening import addons, network, policy
from bmk.hardening.addons import Object
from bmk.hardening.policy import gives_any_name

Live = Mapping[str, Any]
_ROLE = "cluster-admin"
_BODY = ("rules", "roleRef", "subjects")  # of kinds that have no spec
_RBAC = "rbac.authorization.k8s.io"
# Bindings that kubeadm makes, and whom they name.
ADMINISTRATORS = {"cluster-admin": "system:masters", "kubeadm:cluster-admins": "kubeadm:cluster-admins"}

BINDINGS = Kind(
    name="bindings",
    closed=("*",),
    repair=by_api,
    rules=(Rule("*", "*", "security", "is administrator of the cluster"),),
)
POLICIES = Kind(
    name="policies",
    closed=("*",),
    repair=by_api,
    rules=(
        Rule("Validating*", "*", "security", "admission accepts or refuses other requests than it should"),
        Rule("PodDisruptionBudget/*", "*", "degraded", "DNS may fail while nodes are drained"),
        Rule("*", "*", "security", "a workload of bmk, its rights, or a network policy"),
    ),
)


def desired_cluster(wanted: Sequence[Object]) -> Desired:
    """Kubeadm's administrators and nobody else; `wanted` of bmk's own objects and no old ones."""
    bindings = {b: {"role": _ROLE, "subjects": f"Group {group}"} for b, group in ADMINISTRATORS.items()}
    policies = {policy.key(o): _policy(o) for o in wanted}
    owners = {f"bindings:{b}": "kubeadm" for b in bindings} | {f"policies:{p}": "dc.yml" for p in policies}
    return Desired({"bindings": bindings, "policies": policies}, (*BINDINGS.owned, *POLICIES.owned), owners=owners)


def wanted_policies(
    dc: DataCenter, name: str, images: Mapping[str, str], namespaces: Sequence[str], certificate: str
) -> list[Object]:
    """Objects of bmk that a cluster should have: admission policies, workloads, network policies that deny.

    `images`: the mirror's; `namespaces`: those that the cluster has; `certificate`: the one of metrics-server, in PEM.
    PreflightRefused when an image is missing.
    """
    cluster = dc.cluster(name)
    found = policy.objects(cluster.hardening.groups.model_dump(mode="json"))
    found += policy.warnings(cluster.network.load_balancers == "own", cluster.network.enforces)
    if cluster.network.plugin == "routed" and cluster.network.policies == network.ENGINE:
        found += network.engine(_image(images, network.ENGINE))
    found += [addons.dns_budget(), *addons.metrics(_image(images, addons.METRICS), certificate)]
    return network.there([*found, *network.denials(cluster.network.deny)], namespaces)


def _image(images: Mapping[str, str], name: str) -> str:
    if name not in images:
        raise PreflightRefused(f"the mirror has no image {name}", hint="bmk artifacts build")
    return images[name]


def binding_facts(roles: Sequence[Live], bindings: Sequence[Live]) -> Facts:
    """Bindings to roles of the whole cluster that may do everything, or become any node.

    By name; those of a namespace by `namespace/name`.
    """
    names = {_ROLE, *(role["metadata"]["name"] for role in roles if _is_administrator(role))}
    found = {
        _name(b["metadata"]): {"role": b["roleRef"]["name"], "subjects": _subjects(b)}
        for b in bindings
        if b["roleRef"]["kind"] == "ClusterRole" and b["roleRef"]["name"] in names
    }
    return {"bindings": found}


def policy_facts(wanted: Sequence[Object], live: Sequence[Live]) -> Facts:
    """Objects that bmk made, or that have the names of such; others are not bmk's."""
    mine = {policy.key(o) for o in wanted}
    return {"policies": {policy.key(o): _policy(o) for o in live if policy.is_managed(o) or policy.key(o) in mine}}


def administrator(name: str) -> dict[str, Any]:
    """The binding of kubeadm with this name, as it makes it."""
    subject = {"apiGroup": _RBAC, "kind": "Group", "name": ADMINISTRATORS[name]}
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": _ROLE},
        "subjects": [subject],
    }


def _policy(live: Live) -> Attributes:
    body = live["spec"] if "spec" in live else {key: live[key] for key in _BODY if key in live}
    return flat(body) | {"managed": policy.is_managed(live)}


def _name(metadata: Object) -> str:
    return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else str(metadata["name"])


def _is_administrator(role: Live) -> bool:
    """Whether it may do everything with everything, or become any node."""
    rules = role.get("rules") or ()
    everything = (all("*" in (rule.get(key) or ()) for key in ("verbs", "resources", "apiGroups")) for rule in rules)
    return any(everything) or any(map(gives_any_name, rules))


def _subjects(binding: Live) -> str:
    return ", ".join(sorted(f"{s['kind']} {_name(s)}" for s in binding.get("subjects") or ()))
