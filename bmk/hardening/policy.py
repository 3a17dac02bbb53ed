"""The admission policies against group 0, as objects of the API. Pure; `settings` is `hardening.groups` of dc.yml.

One policy for pods, one for what is added to them later, one for templates of workloads (they warn early: a Deployment
is accepted long before its pods are refused), one for the label itself, so that a typo does not read as "default".
Bindings say where which mode holds: names in dc.yml first, then the label of the namespace, then the default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bmk.hardening.groups import LABEL, MODES, POLICY
from bmk.hardening.objects import MANAGED, Object, made

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
