"""Files of control planes: what they may be read by, and what the API server's own files say."""

from __future__ import annotations

from typing import Any

from bmk.hardening import apiserver
from bmk.hardening.accounts import owned_at
from bmk.hardening.control import PRIVILEGED_FILE, Control, Requirement, Verdict, files, holds, not_applicable
from bmk.hardening.evidence import NodeEvidence

_MANIFESTS, _PKI = "/etc/kubernetes/manifests", "/etc/kubernetes/pki"
_STALE = 2  # seconds


def _manifest(id_: str, component: str, cis: tuple[str, ...]) -> Control:
    return Control(
        id_,
        f"The manifest of {component} is root's",
        "medium",
        "Whoever writes here starts privileged containers.",
        files(f"{_MANIFESTS}/{component}.yaml", scope="control_plane"),
        cis=cis,
    )


def _kubeconfig(id_: str, title: str, cis: tuple[str, ...], *names: str) -> Control:
    return Control(
        id_,
        title,
        "high",
        "Whoever reads it is that component, or the administrator.",
        files(*(f"/etc/kubernetes/{name}.conf" for name in names), scope="control_plane"),
        cis=cis,
    )


def _pki_owner(node: NodeEvidence) -> Verdict:
    files = node.files(_PKI, f"{_PKI}/*", f"{_PKI}/etcd/*")
    wrong = [str(f) for f in files if (f.uid, f.gid) != owned_at(f.path).ids]
    return holds(not wrong, ", ".join(wrong[:3]) or f"{len(files)} files, each of root or of the program that reads it")


def _providers(node: NodeEvidence) -> Verdict:
    found = node.raw["encryption"]
    if not found:
        return holds(False, f"{apiserver.ENCRYPTION} is not there or not readable")
    secrets = [r for r in found if "secrets" in r["resources"]]
    first = secrets[0]["providers"][0] if secrets else "none"
    return holds(first in ("secretbox", "aescbc", "aesgcm", "kms"), f"secrets are written with {first}")


def _policy(node: NodeEvidence) -> Verdict:
    """A rule for each thing that CIS names, and nothing that would write a secret's content."""
    rules = node.text(f"{apiserver.DIRECTORY}/audit-policy.yaml").get("rules") or []
    return holds(bool(rules), f"{len(rules)} rules" if rules else "no audit policy")


def _concerns(node: NodeEvidence) -> Verdict:
    rules = node.text(f"{apiserver.DIRECTORY}/audit-policy.yaml").get("rules") or []
    if not rules:
        return not_applicable("there are no rules: audit-policy says so")
    wanted = [
        ("", "secrets"),
        ("", "configmaps"),
        ("authentication.k8s.io", "tokenreviews"),
        ("", "pods"),
        ("", "pods/exec"),
        ("", "pods/portforward"),
        ("apps", "deployments"),
    ]
    missing = [name for group, name in wanted if _level(rules, group, name) in (None, "None")]
    leaked = [name for group, name in wanted[:3] if _level(rules, group, name) in ("Request", "RequestResponse")]
    seen = [*(f"not audited: {name}" for name in missing), *(f"content audited: {name}" for name in leaked)]
    return holds(not seen, ", ".join(seen) or "secrets by name, changes with what was asked, exec and port-forward")


def _level(rules: list[dict[str, Any]], group: str, resource: str) -> str | None:
    """The level at which a change of such an object is written: the first rule that is about it."""
    for rule in rules:
        verbs, kinds = rule.get("verbs"), rule.get("resources")
        about = kinds is None and not rule.get("nonResourceURLs")
        for kind in kinds or ():
            names = kind.get("resources")
            about = about or ((kind.get("group") or "") == group and (names is None or resource in names))
        if about and not rule.get("users") and not rule.get("userGroups") and (verbs is None or "create" in verbs):
            return str(rule["level"])
    return None


def _admission(node: NodeEvidence) -> Verdict:
    plugins = node.text(f"{apiserver.DIRECTORY}/admission.yaml").get("plugins") or []
    found: dict[str, Any] = next((p["configuration"] for p in plugins if p.get("name") == "PodSecurity"), {})
    defaults = found.get("defaults") or {}
    pinned = [k for k, v in defaults.items() if k.endswith("-version") and str(v).startswith("v1.")]
    flags = node.flags("kube-apiserver")
    used = (flags or {}).get("admission-control-config-file") == f"{apiserver.DIRECTORY}/admission.yaml"
    exempt = ", ".join((found.get("exemptions") or {}).get("namespaces") or []) or "nobody"
    seen = f"enforce {defaults.get('enforce')} {defaults.get('enforce-version')}, exempt: {exempt}" + (
        "" if used else ", not used"
    )
    return holds(used and len(pinned) == 3, seen)


def _stale(node: NodeEvidence) -> Verdict:
    began = node.started("kube-apiserver")
    if not began:
        return Verdict("unknown", "kube-apiserver does not run")
    ours = node.files(f"{apiserver.DIRECTORY}/admission.yaml", f"{apiserver.DIRECTORY}/audit-policy.yaml")
    newer = [f.path for f in ours if f.mtime > began + _STALE]
    return holds(not newer, f"changed since it began: {', '.join(newer)}" if newer else "began after its files")


CONTROLS = (
    _manifest("manifest-api", "kube-apiserver", ("1.1.1", "1.1.2")),
    _manifest("manifest-cm", "kube-controller-manager", ("1.1.3", "1.1.4")),
    _manifest("manifest-scheduler", "kube-scheduler", ("1.1.5", "1.1.6")),
    _manifest("manifest-etcd", "etcd", ("1.1.7", "1.1.8")),
    Control(
        "etcd-data",
        "etcd's data is for etcd only",
        "high",
        "Every secret of the cluster is in it.",
        files("/var/lib/etcd", mode=0o700, scope="control_plane"),
        cis=("1.1.11", "1.1.12"),
    ),
    _kubeconfig(
        "kubeconfig-admin", "The administrator's kubeconfigs are root's", ("1.1.13", "1.1.14"), "admin", "super-admin"
    ),
    _kubeconfig(
        "kubeconfig-scheduler", "The scheduler's kubeconfig is the scheduler's alone", ("1.1.15", "1.1.16"), "scheduler"
    ),
    _kubeconfig(
        "kubeconfig-cm",
        "The controller manager's kubeconfig is its own alone",
        ("1.1.17", "1.1.18"),
        "controller-manager",
    ),
    Control(
        "pki-owner",
        "Keys and certificates are root's, or of the one program that reads them",
        "high",
        "Who owns the authority's key is the cluster.",
        Requirement(
            "/etc/kubernetes/pki: root:root, but keys that a program of the control plane uses",
            _pki_owner,
            "control_plane",
        ),
        cis=("1.1.19",),
    ),
    Control(
        "pki-certificates",
        "Certificates are written by root only",
        "medium",
        PRIVILEGED_FILE,
        files(f"{_PKI}/*.crt", f"{_PKI}/etcd/*.crt", mode=0o644, scope="control_plane"),
        cis=("1.1.20",),
    ),
    Control(
        "pki-keys",
        "A key is read by root and the one program that uses it",
        "high",
        PRIVILEGED_FILE,
        files(f"{_PKI}/*.key", f"{_PKI}/etcd/*.key", scope="control_plane"),
        cis=("1.1.21",),
    ),
    Control(
        "api-files",
        "What the API server is started with is for it only",
        "high",
        "The key of all secrets at rest is among it.",
        files(f"{apiserver.DIRECTORY}/*", scope="control_plane"),
    ),
    Control(
        "audit-files",
        "Audit logs are read by root and the API server only",
        "medium",
        "They tell who does what; an attacker would like to edit them.",
        files(apiserver.AUDIT_LOGS, f"{apiserver.AUDIT_LOGS}/*.log", mode=0o700, scope="control_plane"),
    ),
    Control(
        "api-files-live",
        "The API server runs with the files that are on disk",
        "high",
        "Admission and audit policy are read at its start only.",
        Requirement("kube-apiserver began after admission.yaml and audit-policy.yaml", _stale, "control_plane"),
    ),
    Control(
        "api-encryption-providers",
        "Secrets are written with a real cipher",
        "high",
        "With identity first, encryption is on and nothing is encrypted.",
        Requirement("secretbox first, identity only to read what is old", _providers, "control_plane"),
        cis=("1.2.28",),
    ),
    Control(
        "audit-policy",
        "There is an audit policy",
        "medium",
        "Without one the log stays empty.",
        Requirement(f"{apiserver.DIRECTORY}/audit-policy.yaml", _policy, "control_plane"),
        cis=("3.2.1",),
    ),
    Control(
        "audit-concerns",
        "The audit policy has what matters and no secret",
        "medium",
        "Who looked at secrets, who changed workloads, who went into pods: and never a secret's content.",
        Requirement(
            "Metadata for secrets, config maps, token reviews; Request for changes of workloads; exec, port-forward",
            _concerns,
            "control_plane",
        ),
        cis=("3.2.2",),
    ),
    Control(
        "pod-security",
        "Pod Security is on, with its version pinned",
        "high",
        "An unpinned version changes what is admitted with the next upgrade of the API server.",
        Requirement(
            "AdmissionConfiguration: enforce as in dc.yml (restricted by default), versions of the cluster's minor, "
            "named exemptions",
            _admission,
            "control_plane",
        ),
        cis=("5.2.1", "5.2.2", "5.2.3", "5.2.4", "5.2.5", "5.2.6", "5.2.7", "5.2.10", "5.2.11", "5.2.12", "5.6.3"),
        relax="hardening.pod_security.enforce and .exempt in dc.yml, or a namespace's own labels",
    ),
)
