"""What a container gets when its pod says nothing: the base specification of the runtime."""

from __future__ import annotations

from typing import Any

from bmk.hardening.control import Control, Requirement, Verdict, holds, not_applicable
from bmk.hardening.evidence import NodeEvidence

SPEC = "/etc/containerd/base-spec.json"
DROPPED = ("CAP_NET_RAW", "CAP_MKNOD", "CAP_AUDIT_WRITE")
NOFILE = 1048576
_RUNC = ("io.containerd.cri.v1.runtime", "containerd", "runtimes", "runc")
_KERNEL = (6, 3)  # id-mapped mounts on all that pods use


def _process(node: NodeEvidence) -> dict[str, Any]:
    found = node.text(SPEC).get("process")
    return found if isinstance(found, dict) else {}


def _wired(node: NodeEvidence) -> Verdict | None:
    used = node.runtime(*_RUNC, "base_runtime_spec")
    return None if used == SPEC else holds(False, f"base_runtime_spec = {used or 'not set'}")


def _capabilities(node: NodeEvidence) -> Verdict:
    if (unwired := _wired(node)) is not None:
        return unwired
    capabilities = _process(node).get("capabilities") or {}
    sets = ("bounding", "permitted", "effective")
    kept = sorted({c for name in sets for c in capabilities.get(name) or DROPPED if c in DROPPED})
    return holds(
        not kept, f"kept: {', '.join(kept)}" if kept else f"{len(capabilities['bounding'])} kept, none of those"
    )


def _nofile(node: NodeEvidence) -> Verdict:
    if (unwired := _wired(node)) is not None:
        return unwired
    limits = [r for r in _process(node).get("rlimits") or [] if r.get("type") == "RLIMIT_NOFILE"]
    if not limits:
        return holds(False, "no RLIMIT_NOFILE in the base specification")
    soft, hard = int(limits[0]["soft"]), int(limits[0]["hard"])
    return holds(soft <= hard <= NOFILE, f"RLIMIT_NOFILE {soft}/{hard}")


def _no_new_privileges(node: NodeEvidence) -> Verdict:
    """The base specification says so; the kubelet overrules it only for pods that ask for escalation."""
    if (unwired := _wired(node)) is not None:
        return unwired
    return holds(
        _process(node).get("noNewPrivileges") == "true", f"noNewPrivileges: {_process(node).get('noNewPrivileges')}"
    )


def _user_namespaces(node: NodeEvidence) -> Verdict:
    allowed = node.raw["sysctls"].get("user.max_user_namespaces", "")
    kernel = tuple(int(part) for part in node.facts["kernel"].split("-")[0].split(".")[:2])
    if kernel < _KERNEL:
        return not_applicable(f"kernel {node.facts['kernel']} is older than 6.3")
    return holds(
        allowed.isdigit() and int(allowed) > 0, f"user.max_user_namespaces = {allowed}, {node.facts['kernel']}"
    )


CONTROLS = (
    Control(
        "container-capabilities",
        "Containers get no raw sockets, device nodes or audit records by default",
        "high",
        "Raw sockets forge ARP and DNS answers for every pod of the node.",
        Requirement(
            f"base_runtime_spec without {', '.join(DROPPED)} in bounding, permitted and effective", _capabilities
        ),
        cis=("5.2.8", "5.2.9"),
        relax="a pod that needs one asks for it (capabilities.add), where Pod Security lets it",
    ),
    Control(
        "container-nofile",
        "Open files of a container are limited",
        "low",
        "With infinity, programs that close all descriptors hang, and one pod can use up the kernel's table.",
        Requirement(
            "RLIMIT_NOFILE soft and hard in the base specification, at most 1048576; no LimitNOFILE=infinity", _nofile
        ),
    ),
    Control(
        "container-no-new-privileges",
        "The base specification allows no new privileges",
        "medium",
        "A set-uid program of an image makes root of any user.",
        Requirement(
            "noNewPrivileges: true in the base specification; pods decide by allowPrivilegeEscalation",
            _no_new_privileges,
        ),
        cis=("5.2.6",),
    ),
    Control(
        "container-user-namespaces",
        "Pods can have user namespaces",
        "medium",
        "hostUsers: false is the way out for images that insist on root: their 0 is nobody on the host.",
        Requirement(
            "kernel 6.3 or newer, user.max_user_namespaces above 0, kubelet userNamespaces.idsPerPod", _user_namespaces
        ),
    ),
)
