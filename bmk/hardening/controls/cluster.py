"""What the API holds: the policies against group 0, nodes that can keep them, tokens, rights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from bmk.hardening import network, policy
from bmk.hardening.apiserver import ANONYMOUS
from bmk.hardening.control import Control, Requirement, Verdict, holds, not_applicable
from bmk.hardening.evidence import ClusterEvidence
from bmk.hardening.policy import AUTOMATIC, POLICY, automatic

_TOKEN = 7200  # seconds that a bootstrap token may still have
_ADMINS = ("cluster-admin", "kubeadm:cluster-admins")  # bindings that Kubernetes and kubeadm make
_EVERYBODY = ("system:authenticated", "system:unauthenticated", "system:anonymous", "system:serviceaccounts")


def _policies(seen: ClusterEvidence) -> Verdict:
    wrong = policy.differing(seen.wanted, seen.policies)
    return holds(
        not wrong, f"not as they should be: {', '.join(wrong)}" if wrong else f"{len(seen.wanted)} objects in place"
    )


def _strict(seen: ClusterEvidence) -> Verdict:
    if not seen.nodes:
        return Verdict("unknown", "no nodes")
    without = [
        _name(n)
        for n in seen.nodes
        if not ((n.get("status") or {}).get("features") or {}).get("supplementalGroupsPolicy")
    ]
    return holds(not without, f"without: {', '.join(without)}" if without else f"{len(seen.nodes)} nodes")


def _user_namespaces(seen: ClusterEvidence) -> Verdict:
    def able(node: Mapping[str, Any]) -> bool:
        handlers = (node.get("status") or {}).get("runtimeHandlers") or []
        return any((h.get("features") or {}).get("userNamespaces") for h in handlers)

    without = [_name(n) for n in seen.nodes if not able(n)]
    return holds(not without, f"without: {', '.join(without)}" if without else f"{len(seen.nodes)} nodes")


def _anonymous(seen: ClusterEvidence) -> Verdict:
    """Asked without credentials: health answers, all else is 401."""
    open_ = [p for p, code in seen.anonymous.items() if p not in ANONYMOUS and code != 401]
    answers = ", ".join(f"{path} {code}" for path, code in seen.anonymous.items())
    return holds(not open_, answers) if seen.anonymous else Verdict("unknown", "no API server answers")


def _tokens(seen: ClusterEvidence) -> Verdict:
    wrong = [
        name for name, left in ((t["name"], _left(t, seen.now)) for t in seen.tokens) if left is None or left > _TOKEN
    ]
    return holds(
        not wrong, f"live on: {', '.join(wrong)}" if wrong else f"{len(seen.tokens)} tokens, none beyond two hours"
    )


def _left(token: Mapping[str, Any], now: float) -> float | None:
    end = token.get("expiration")
    return datetime.fromisoformat(end).timestamp() - now if end else None


def _one_ticket_one_name(seen: ClusterEvidence) -> Verdict:
    found = automatic(seen.roles, seen.role_bindings)
    return holds(not found, ", ".join(found) or "bmk approves what a ticket asks for, by the data center file")


def _admins(seen: ClusterEvidence) -> Verdict:
    others = [
        f"{_name(b)} ({_subjects(b)})"
        for b in seen.role_bindings
        if b["roleRef"]["name"] == "cluster-admin" and _name(b) not in _ADMINS
    ]
    return holds(not others, ", ".join(others) or "only those of Kubernetes and kubeadm")


def _masters(seen: ClusterEvidence) -> Verdict:
    wrong = [_name(b) for b in seen.role_bindings for s in b.get("subjects") or () if s["name"] == "system:masters"]
    wrong = [name for name in wrong if name != "cluster-admin"]
    return holds(not wrong, ", ".join(wrong) or "bound by Kubernetes' own binding only")


def _nobody_may(what: str, may: Callable[[Mapping[str, Any]], bool]) -> Callable[[ClusterEvidence], Verdict]:
    """No group that has everybody in it holds a role with such a rule."""

    def check(seen: ClusterEvidence) -> Verdict:
        roles = {_name(r) for r in seen.roles if any(may(rule) for rule in r.get("rules") or ())}
        wrong = [
            f"{_name(b)}: {s['name']}"
            for b in seen.role_bindings
            if b["roleRef"]["name"] in roles
            for s in b.get("subjects") or ()
            if s["name"].startswith(_EVERYBODY)
        ]
        return holds(not wrong, ", ".join(wrong) or f"nobody may {what} by being logged in")

    return check


def _rule(groups: str, resource: str, *verbs: str) -> Callable[[Mapping[str, Any]], bool]:
    def may(rule: Mapping[str, Any]) -> bool:
        return (
            bool({groups, "*"} & set(rule.get("apiGroups") or ()))
            and bool({resource, "*"} & set(rule.get("resources") or ()))
            and bool({*verbs, "*"} & set(rule.get("verbs") or ()))
        )

    return may


def _right(id_: str, cis: str, what: str, may: Callable[[Mapping[str, Any]], bool]) -> Control:
    return Control(
        f"rbac-{id_}",
        f"Not everybody may {what}",
        "medium",
        "A right that every account has is a right that every hole has.",
        Requirement(
            "no binding of such a role to system:authenticated, system:serviceaccounts or anonymous",
            _nobody_may(what, may),
            "cluster",
        ),
        cis=(cis,),
    )


def _subjects(binding: Mapping[str, Any]) -> str:
    return ", ".join(s["name"] for s in binding.get("subjects") or ())


def _enforced(seen: ClusterEvidence) -> Verdict:
    """The last smoke test tried it with two pods on each node that can; who enforces must live there since."""
    plugin, engine = seen.settings["network"]["plugin"], seen.settings["network"]["policies"]
    if plugin == "none" or (plugin == "routed" and engine == "none"):
        return holds(False, f"nothing enforces: plugin {plugin}, policies {engine}")
    able = {_name(n) for n in seen.nodes} - set(network.unable(seen.nodes))
    if not able:
        return not_applicable("no node's kernel has a queue of nftables: see the exceptions")
    away = sorted(able - _engines(seen)) if plugin == "routed" else []
    if away:
        return holds(False, f"{network.ENGINE} is not ready on {', '.join(away)}")
    held = seen.proof.get("holds", {})
    open_ = [name for name, good in held.items() if not good]
    if not held:
        return Verdict("unknown", "never tried with pods; next: bmk verify DC")
    at = datetime.fromtimestamp(seen.proof["at"], UTC).isoformat(timespec="seconds")
    return holds(
        not open_, f"{at}: let strangers in on {', '.join(open_)}" if open_ else f"{at}: held on {len(held)} nodes"
    )


def _engines(seen: ClusterEvidence) -> set[str]:
    """Nodes on which the engine of the plug-in routed is ready."""
    mine = [p for p in seen.pods if (p["metadata"].get("labels") or {}).get("app.kubernetes.io/name") == network.ENGINE]
    return {p["spec"].get("nodeName", "") for p in mine if _is_ready(p)}


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _denied(seen: ClusterEvidence) -> Verdict:
    wanted = seen.settings["network"]["deny"]
    if not wanted:
        return not_applicable("network.deny names no namespace")
    there = {_name(n) for n in seen.namespaces}
    have = {
        p["metadata"]["namespace"] for p in seen.policies if p["kind"] == "NetworkPolicy" and _name(p) == network.DENY
    }
    open_ = sorted(there & set(wanted) - have)
    return holds(not open_, f"open: {', '.join(open_)}" if open_ else f"denied by default: {', '.join(sorted(have))}")


def _proxy(seen: ClusterEvidence) -> Verdict:
    if not seen.kube_proxy:
        return not_applicable("no kube-proxy")
    line = next((line.strip() for line in seen.kube_proxy.splitlines() if "metricsBindAddress" in line), "")
    return holds("127.0.0.1" in line or line.endswith(('""', "''")), line or "metricsBindAddress is not set: loopback")


def _name(body: Mapping[str, Any]) -> str:
    return str(body["metadata"]["name"])


CONTROLS = (
    Control(
        "group-policies",
        "The policies against group 0 are in the API, as dc.yml has them",
        "high",
        "A Restricted pod that names no group runs as gid 0: nothing else in Kubernetes looks at it.",
        Requirement(f"ValidatingAdmissionPolicy {POLICY} with bindings for audit, warn and deny", _policies, "cluster"),
        cis=("5.2.7",),
        relax="hardening.groups in dc.yml: default, namespaces, exempt",
    ),
    Control(
        "network-policy",
        "NetworkPolicy holds on every node, as two pods found out",
        "high",
        "The API takes every NetworkPolicy, also where nothing enforces it, and says no word.",
        Requirement(
            f"DaemonSet {network.ENGINE} (or another plug-in's own); bmk verify tries it with a friend and a stranger",
            _enforced,
            "cluster",
        ),
        cis=("5.3.1",),
        relax="network.policies in dc.yml",
    ),
    Control(
        "network-deny",
        "Namespaces that should deny by default do",
        "medium",
        "A pod that nobody thought of reaches every other.",
        Requirement(f"NetworkPolicy {network.DENY} in each namespace of network.deny", _denied, "cluster"),
        cis=("5.3.2",),
        relax="network.deny in dc.yml",
    ),
    Control(
        "node-strict-groups",
        "All nodes can keep an image's groups out",
        "high",
        "supplementalGroupsPolicy: Strict is refused, or worse ignored, by a runtime that does not know it.",
        Requirement("status.features.supplementalGroupsPolicy of every node", _strict, "cluster"),
    ),
    Control(
        "node-user-namespaces",
        "All nodes can run pods with user namespaces",
        "medium",
        "hostUsers: false is the way out for images that insist on root.",
        Requirement("status.runtimeHandlers[].features.userNamespaces", _user_namespaces, "cluster"),
    ),
    Control(
        "api-anonymous",
        "Without credentials one sees health and nothing else",
        "high",
        "Versions and paths tell which hole fits; a wrong binding to anonymous opens everything.",
        Requirement(f"AuthenticationConfiguration: anonymous only for {', '.join(ANONYMOUS)}", _anonymous, "cluster"),
        cis=("1.2.1",),
    ),
    Control(
        "bootstrap-tokens",
        "Bootstrap tokens live for minutes",
        "high",
        "Whoever has one can add a node.",
        Requirement("bmk mints one for each join and revokes it; none lives longer than two hours", _tokens, "cluster"),
        cis=("3.1.3",),
    ),
    Control(
        "join-approval",
        "A ticket is good for one node's name",
        "high",
        "kubeadm lets Kubernetes approve any name for any bootstrap token: whoever has one becomes any node.",
        Requirement(
            f"no binding such as {AUTOMATIC}; bmk approves the name that the ticket is for (bmk approve)",
            _one_ticket_one_name,
            "cluster",
        ),
    ),
    Control(
        "rbac-cluster-admin",
        "Nobody else is cluster-admin",
        "high",
        "There is nothing that it may not.",
        Requirement("bindings of cluster-admin: those of Kubernetes and kubeadm", _admins, "cluster"),
        cis=("5.1.1",),
    ),
    Control(
        "rbac-masters",
        "system:masters is bound once",
        "medium",
        "It goes around RBAC and cannot be revoked.",
        Requirement(
            "no further binding names system:masters; bmk's kubeconfig is kubeadm:cluster-admins", _masters, "cluster"
        ),
        cis=("5.1.7",),
    ),
    _right("secrets", "5.1.2", "read secrets", _rule("", "secrets", "get", "list", "watch")),
    _right(
        "wildcards",
        "5.1.3",
        "do everything",
        lambda r: "*" in (r.get("verbs") or ()) and "*" in (r.get("resources") or ()),
    ),
    _right("pods", "5.1.4", "create pods", _rule("", "pods", "create")),
    _right(
        "escalate",
        "5.1.8",
        "impersonate, bind or escalate",
        lambda r: bool({"impersonate", "bind", "escalate"} & set(r.get("verbs") or ())),
    ),
    _right("volumes", "5.1.9", "create persistent volumes", _rule("", "persistentvolumes", "create")),
    _right("node-proxy", "5.1.10", "go through nodes/proxy", _rule("", "nodes/proxy", "get", "create")),
    _right(
        "approve",
        "5.1.11",
        "approve certificates",
        _rule("certificates.k8s.io", "certificatesigningrequests/approval", "update", "patch"),
    ),
    _right(
        "webhooks",
        "5.1.12",
        "change webhooks",
        _rule("admissionregistration.k8s.io", "validatingwebhookconfigurations", "create", "update", "patch"),
    ),
    _right("tokens", "5.1.13", "make tokens for accounts", _rule("", "serviceaccounts/token", "create")),
    Control(
        "kube-proxy-local",
        "kube-proxy's metrics are on loopback",
        "low",
        "They tell the whole service map.",
        Requirement("metricsBindAddress: 127.0.0.1:10249", _proxy, "cluster"),
        cis=("4.3.1",),
    ),
)
