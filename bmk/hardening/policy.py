"""Admission policies against group 0, their rule in Python, and other rules about who may do what. Pure.

`settings` is `hardening.groups` of dc.yml. One policy is for pods, one for ephemeral containers, one for templates of
workloads (a warning before the pods are refused), one for the label itself, so that a typo does not read as "default".
Bindings say where which mode holds: names in dc.yml first, then the label of the namespace, then the default.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bmk.hardening.addons import MANAGED, Object, made

POLICY = "bmk-nonroot-group"
LABEL = "bmk.dev/nonroot-group"
MODES = ("audit", "warn", "deny")


def violations(pod: Mapping[str, Any]) -> list[str]:
    """The reasons for which the policy refuses a pod's spec, in its order; empty for one that it admits."""
    exempt = (pod.get("os") or {}).get("name") == "windows" or pod.get("hostUsers") is False
    return [] if exempt else list(_violations(pod))


def _violations(pod: Mapping[str, Any]) -> Iterator[str]:
    context = pod.get("securityContext") or {}
    containers = [c for key in ("containers", "initContainers", "ephemeralContainers") for c in pod.get(key) or ()]
    at_root = [c["name"] for c in containers if not _group_of(c, context) > 0]
    if at_root:
        yield f"runs with group 0: {', '.join(at_root)}"
    if not all(group > 0 for group in context.get("supplementalGroups") or ()):
        yield "supplementalGroups has 0"
    if not (1 if context.get("fsGroup") is None else context["fsGroup"]) > 0:
        yield "fsGroup is 0"
    if context.get("supplementalGroupsPolicy") != "Strict":
        yield "supplementalGroupsPolicy is not Strict"


def _group_of(container: Mapping[str, Any], context: Mapping[str, Any]) -> int:
    own = (container.get("securityContext") or {}).get("runAsGroup")
    shared = context.get("runAsGroup")
    return int(own if own is not None else shared if shared is not None else 0)


def mode_of(namespace: str, labels: Mapping[str, str], settings: Mapping[str, Any]) -> str:
    """The mode of the policy in a namespace: exempt, audit, warn or deny. dc.yml wins over the label, the label over
    the default.
    """
    if namespace in settings["exempt"]:
        return "exempt"
    named = settings["namespaces"].get(namespace)
    label = labels.get(LABEL)
    return str(named or (label if label in MODES else settings["default"]))


API = "admissionregistration.k8s.io/v1"
NAME = "kubernetes.io/metadata.name"
DEBUG, TEMPLATES, LABELS = f"{POLICY}-debug", f"{POLICY}-templates", f"{POLICY}-label"
_ACTIONS = {"audit": ["Audit"], "warn": ["Warn", "Audit"], "deny": ["Deny", "Audit"]}
_EARLY = {"audit": ["Audit"], "warn": ["Warn", "Audit"], "deny": ["Warn", "Audit"]}  # a template alone runs nothing

# Written out instead of composed of variables: each variable is a program of its own, and every pod pays for it.
_EXEMPT = "{pod}.?hostUsers.orValue(true) == false || {pod}.?os.?name.orValue('linux') == 'windows'"
_GROUP = "c.?securityContext.?runAsGroup.orValue({pod}.?securityContext.?runAsGroup.orValue(0)) > 0"
_OLD = "oldObject.spec.?ephemeralContainers.orValue([]).exists(o, o.name == c.name)"
_CONTEXT = {
    "supplementalGroups must not have 0": "{pod}.?securityContext.?supplementalGroups.orValue([]).all(g, g > 0)",
    "fsGroup must not be 0": "{pod}.?securityContext.?fsGroup.orValue(1) > 0",
    "supplementalGroupsPolicy must be Strict, or the image adds groups that nobody sees": (
        "{pod}.?securityContext.?supplementalGroupsPolicy.orValue('Merge') == 'Strict'"
    ),
}
_MESSAGE = "runAsGroup must be set and non-zero (or set hostUsers: false)"


def objects(settings: Mapping[str, Any]) -> list[Object]:
    """Everything that belongs into a cluster's API, in the order in which it is applied."""
    found = [_pods(), _debug(), _templates(), _labels()]
    for policy, actions in ((POLICY, _ACTIONS), (DEBUG, _ACTIONS), (TEMPLATES, _EARLY)):
        found += _bindings(policy, actions, settings)
    found.append(binding(LABELS, LABELS, ["Deny"], {}))
    return found


def _pods() -> Object:
    """Never UPDATE: a finalizer must come off pods that were there before."""
    fields = ("object.spec.containers", "object.spec.?initContainers.orValue([])")
    return admission(POLICY, [rule("", ["pods"], ["CREATE"])], {}, _validation("object.spec", fields, _CONTEXT))


def _debug() -> Object:
    """Of a pod that is there already only what is added counts: the rest was admitted before."""
    added = f"object.spec.?ephemeralContainers.orValue([]).filter(c, !{_OLD})"
    rules = [rule("", ["pods/ephemeralcontainers"], ["UPDATE"])]
    return admission(DEBUG, rules, {}, _validation("object.spec", (added,), {}))


def _templates() -> Object:
    rules = [
        rule("apps", ["deployments", "statefulsets", "daemonsets", "replicasets"], ["CREATE", "UPDATE"]),
        rule("batch", ["jobs", "cronjobs"], ["CREATE", "UPDATE"]),
        rule("", ["replicationcontrollers"], ["CREATE", "UPDATE"]),
    ]
    pod = "request.kind.kind == 'CronJob' ? object.spec.jobTemplate.spec.template.spec : object.spec.template.spec"
    fields = ("variables.pod.containers", "variables.pod.?initContainers.orValue([])")
    return admission(TEMPLATES, rules, {"pod": pod}, _validation("variables.pod", fields, _CONTEXT))


def _validation(pod: str, containers: Sequence[str], context: Mapping[str, str]) -> list[Object]:
    """One expression for all; the message names every fault and container.

    The API server makes the message of every pod, admitted or not: so it looks first whether there is anything to say.
    """
    group = _GROUP.format(pod=pod)
    rest = {words: text.format(pod=pod) for words, text in context.items()}
    good = [f"{field}.all(c, {group})" for field in containers] + list(rest.values())
    wrong = " + ".join(f"{field}.filter(c, !({group})).map(c, c.name)" for field in containers)
    faults = [f"(size({wrong}) > 0 ? ['{_MESSAGE}: ' + ({wrong}).join(', ')] : [])"]
    faults += [f"({text} ? [] : ['{words}'])" for words, text in rest.items()]
    admitted = f"{_EXEMPT.format(pod=pod)} || ({' && '.join(good)})"
    validation = {
        "expression": admitted,
        "messageExpression": f"({admitted}) ? '' : 'bmk: ' + ({' + '.join(faults)}).join('; ')",
        "message": f"bmk: {_MESSAGE}",
    }
    return [validation]


def _labels() -> Object:
    value = f"object.metadata.?labels[?'{LABEL}'].orValue('audit')"
    before = f"oldObject.metadata.?labels[?'{LABEL}'].orValue('audit')"
    modes = "[" + ", ".join(f"'{m}'" for m in MODES) + "]"
    validation = {
        "expression": f"{value} in {modes} || (request.operation == 'UPDATE' && {before} == {value})",
        "message": f"bmk: the label {LABEL} is one of {', '.join(MODES)}",
    }
    return admission(LABELS, [rule("", ["namespaces"], ["CREATE", "UPDATE"])], {}, [validation])


def _bindings(policy: str, actions: Mapping[str, list[str]], settings: Mapping[str, Any]) -> list[Object]:
    named: dict[str, list[str]] = {mode: [] for mode in MODES}
    for namespace, mode in sorted(settings["namespaces"].items()):
        named[mode].append(namespace)
    others = _names("NotIn", sorted({*settings["exempt"], *settings["namespaces"]}))
    found = [
        binding(f"{policy}-{mode}", policy, actions[mode], {"matchExpressions": [_labelled("In", [mode]), *others]})
        for mode in MODES
    ]
    unlabelled = {"matchExpressions": [_labelled("NotIn", MODES), *others]}
    found.append(binding(f"{policy}-default", policy, actions[settings["default"]], unlabelled))
    return found + [
        binding(f"{policy}-{mode}-named", policy, actions[mode], {"matchExpressions": _names("In", names)})
        for mode, names in named.items()
        if names
    ]


def _names(operator: str, names: Sequence[str]) -> list[Object]:
    return [{"key": NAME, "operator": operator, "values": list(names)}] if names else []


def _labelled(operator: str, modes: Sequence[str]) -> Object:
    return {"key": LABEL, "operator": operator, "values": list(modes)}


def rule(group: str, resources: list[str], operations: list[str]) -> Object:
    """What a policy is asked about."""
    return {"apiGroups": [group], "apiVersions": ["v1"], "operations": operations, "resources": resources}


def admission(name: str, rules: list[Object], variables: Mapping[str, str], validations: list[Object]) -> Object:
    """A policy; it counts where a binding says so."""
    spec: Object = {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": rules}, "validations": validations}
    if variables:
        spec["variables"] = [{"name": key, "expression": text} for key, text in variables.items()]
    return made(API, "ValidatingAdmissionPolicy", name, spec=spec)


def binding(name: str, policy: str, actions: list[str], namespaces: Object) -> Object:
    """Where a policy counts ({}: everywhere), and what follows."""
    spec: Object = {"policyName": policy, "validationActions": actions}
    if namespaces:
        spec["matchResources"] = {"namespaceSelector": namespaces}
    return made(API, "ValidatingAdmissionPolicyBinding", name, spec=spec)


def is_current(wanted: Any, live: Any) -> bool:
    """Whether everything that is wanted is there; what the API adds by itself does not matter."""
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(is_current(value, live.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(live, list)
            and len(wanted) == len(live)
            and all(is_current(a, b) for a, b in zip(wanted, live, strict=True))
        )
    return bool(wanted == live)


def differing(wanted: Sequence[Mapping[str, Any]], live: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of objects that are missing, changed or left over, as `Kind/name`."""
    there = {key(o): o for o in live}
    wrong = [key(o) for o in wanted if not is_current(o, there.get(key(o)))]
    mine = {key(o) for o in wanted}
    left = [k for k, o in there.items() if k not in mine and is_managed(o)]
    return wrong + left


def is_managed(live: Mapping[str, Any]) -> bool:
    """Whether bmk made this object."""
    labels = (live.get("metadata") or {}).get("labels") or {}
    return is_current(MANAGED, labels)


def key(live: Mapping[str, Any]) -> str:
    """`Kind/name`, or `Kind/namespace/name`."""
    metadata = live["metadata"]
    return "/".join(filter(None, (live["kind"], metadata.get("namespace"), metadata["name"])))


BALANCER, ENFORCER = "bmk-no-load-balancer", "bmk-no-network-policy"
_SAY = ["Warn", "Audit"]
_IS_OTHER = "object.spec.?type.orValue('ClusterIP') != 'LoadBalancer'"
_PENDING = (
    "bmk: nothing in this cluster gives a Service of type LoadBalancer an address, so it stays pending: "
    "use NodePort, or install what does and set load_balancers: own in dc.yml"
)
_IDLE = (
    "bmk: nothing in this cluster enforces a NetworkPolicy, so it has no effect: "
    "set policies: kube-network-policies in dc.yml, or install what does"
)


def warnings(balances: bool, enforces: bool) -> Iterator[Object]:
    """Policies that admit all and warn of what the cluster lacks: load balancers, enforcement of NetworkPolicy."""
    if not balances:
        services = rule("", ["services"], ["CREATE", "UPDATE"])
        yield admission(BALANCER, [services], {}, [{"expression": _IS_OTHER, "message": _PENDING}])
        yield binding(BALANCER, BALANCER, _SAY, {})
    if not enforces:
        policies = rule("networking.k8s.io", ["networkpolicies"], ["CREATE", "UPDATE"])
        yield admission(ENFORCER, [policies], {}, [{"expression": "false", "message": _IDLE}])
        yield binding(ENFORCER, ENFORCER, _SAY, {})


# kubeadm's binding by which any bootstrap token gets a certificate for any node name; every new cluster has it
AUTOMATIC = "kubeadm:node-autoapprove-bootstrap"
_NODECLIENT = "certificatesigningrequests/nodeclient"


def gives_any_name(rule: Mapping[str, Any]) -> bool:
    """Whether a rule allows automatic approval of client certificates for any node name. Renewals are another right."""
    return _NODECLIENT in (rule.get("resources") or ()) and bool({"create", "*"} & set(rule.get("verbs") or ()))


def automatic(roles: Iterable[Mapping[str, Any]], bindings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of bindings by which Kubernetes approves certificates for any node name: there should be none."""
    giving = {role["metadata"]["name"] for role in roles if any(map(gives_any_name, role.get("rules") or ()))}
    return sorted(b["metadata"]["name"] for b in bindings if b["roleRef"]["name"] in giving)
