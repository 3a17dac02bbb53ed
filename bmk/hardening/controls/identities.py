"""Whom Kubernetes' own programs are, read from the processes that run: not from a manifest that meant well."""

from __future__ import annotations

from bmk.hardening.accounts import API_SERVER, CONTROLLER_MANAGER, ETCD, PROXY, SCHEDULER
from bmk.hardening.control import Control, Requirement, Verdict, holds, not_applicable, runs_as
from bmk.hardening.evidence import NodeEvidence

_WHY = "Who breaks out of a static pod that runs as root is root on a control plane, and so on every node."
_CIS = ("5.2.7", "5.2.9")
_NET_ADMIN = 1 << 12


def _proxy(node: NodeEvidence) -> Verdict:
    seen = node.identity("kube-proxy")
    if seen is None:
        return not_applicable("no kube-proxy")
    return holds(seen.gids == {PROXY.number} and seen.bounding == _NET_ADMIN, str(seen))


CONTROLS = (
    Control(
        "etcd-identity",
        "etcd runs as a user of its own",
        "high",
        _WHY,
        runs_as("etcd", ETCD),
        cis=_CIS,
    ),
    Control(
        "api-identity",
        "The API server runs as a user of its own",
        "high",
        _WHY,
        runs_as("kube-apiserver", API_SERVER),
        cis=_CIS,
    ),
    Control(
        "cm-identity",
        "The controller manager runs as a user of its own",
        "high",
        _WHY,
        runs_as("kube-controller-manager", CONTROLLER_MANAGER),
        cis=_CIS,
    ),
    Control(
        "scheduler-identity",
        "The scheduler runs as a user of its own",
        "high",
        _WHY,
        runs_as("kube-scheduler", SCHEDULER),
        cis=_CIS,
    ),
    Control(
        "proxy-identity",
        "kube-proxy has a group of its own and one capability",
        "high",
        "It is on every node; with all capabilities, as upstream runs it, it is root there.",
        Requirement(f"kube-proxy: group {PROXY.number}, no other; capabilities: NET_ADMIN and never another", _proxy),
        cis=("5.2.2", "5.2.9"),
    ),
)
