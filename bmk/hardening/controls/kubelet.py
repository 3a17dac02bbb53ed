"""The kubelet: its configuration, and that it runs with it."""

from __future__ import annotations

from bmk.hardening.apiserver import TLS_CIPHERS
from bmk.hardening.control import (
    PRIVILEGED_FILE,
    Control,
    Requirement,
    Verdict,
    at_least,
    files,
    holds,
    kubelet,
    one_of,
)
from bmk.hardening.evidence import KUBELET_CONFIG, NodeEvidence

_STALE = 2  # seconds
_ASKED = "The kubelet starts and enters containers for whoever it lets in."


def _fresh(node: NodeEvidence) -> Verdict:
    began = node.started("kubelet")
    if not began:
        return Verdict("unknown", "the kubelet does not run")
    newer = [
        f.path for f in node.files(KUBELET_CONFIG, "/var/lib/kubelet/kubeadm-flags.env") if f.mtime > began + _STALE
    ]
    return holds(not newer, f"changed since it began: {', '.join(newer)}" if newer else "began after its files")


def _hostname(node: NodeEvidence) -> Verdict:
    flags = node.flags("kubelet")
    if flags is None:
        return Verdict("unknown", "the kubelet does not run")
    override = flags.get("hostname-override")
    return holds(override in (None, node.name), f"--hostname-override={override}" if override else "not set")


def _ciphers(value: object) -> bool:
    return isinstance(value, list) and bool(value) and set(value) <= set(TLS_CIPHERS)


def _kernel(node: NodeEvidence) -> Verdict:
    value = str(node.kubelet.get("protectKernelDefaults"))
    if node.facts["container"]:
        return Verdict("na", "a container: kernel settings belong to the machine around it")
    return holds(value == "true", f"protectKernelDefaults: {value}")


CONTROLS = (
    Control(
        "kubelet-config-live",
        "The kubelet runs with the configuration that is on disk",
        "high",
        "A file that was changed after the kubelet began says nothing about what is in force.",
        Requirement("kubelet.service began after config.yaml and kubeadm-flags.env", _fresh),
    ),
    Control(
        "kubelet-anonymous",
        "The kubelet asks who is asking",
        "high",
        _ASKED,
        kubelet(("authentication", "anonymous", "enabled"), one_of("false"), "authentication.anonymous.enabled: false"),
        cis=("4.2.1",),
    ),
    Control(
        "kubelet-authorization",
        "The kubelet asks the API server what one may",
        "high",
        _ASKED,
        kubelet(("authorization", "mode"), one_of("Webhook"), "authorization.mode: Webhook"),
        cis=("4.2.2",),
    ),
    Control(
        "kubelet-client-ca",
        "The kubelet knows its clients by certificate",
        "high",
        _ASKED,
        kubelet(
            ("authentication", "x509", "clientCAFile"),
            one_of("/etc/kubernetes/pki/ca.crt"),
            "authentication.x509.clientCAFile: /etc/kubernetes/pki/ca.crt",
        ),
        cis=("4.2.3",),
    ),
    Control(
        "kubelet-read-only-port",
        "The kubelet has no port without authentication",
        "high",
        "It shows every pod of the node to every pod of the cluster.",
        kubelet(("readOnlyPort",), one_of("0", None), "readOnlyPort: 0"),
        cis=("4.2.4",),
    ),
    Control(
        "kubelet-streaming-timeout",
        "Idle exec sessions end",
        "low",
        "A forgotten shell is an open door.",
        kubelet(
            ("streamingConnectionIdleTimeout",),
            lambda v: v not in (None, "0", "0s"),
            "streamingConnectionIdleTimeout: 5m0s",
        ),
        cis=("4.2.5",),
    ),
    Control(
        "kubelet-iptables",
        "The kubelet keeps its packet filter chains",
        "low",
        "Without them martian packets reach localhost services.",
        kubelet(("makeIPTablesUtilChains",), one_of("true"), "makeIPTablesUtilChains: true"),
        cis=("4.2.6",),
    ),
    Control(
        "kubelet-events",
        "Events are recorded, at a limited rate",
        "low",
        "0 means no limit: one pod drowns the events that matter.",
        kubelet(("eventRecordQPS",), at_least(1), "eventRecordQPS: 50"),
        cis=("4.2.8",),
    ),
    Control(
        "kubelet-rotate",
        "The kubelet renews its client certificate",
        "low",
        "A node whose certificate ends is a node that is gone.",
        kubelet(("rotateCertificates",), one_of("true"), "rotateCertificates: true"),
        cis=("4.2.10",),
    ),
    Control(
        "kubelet-serving-certificate",
        "The kubelet's serving certificate is signed by the cluster, and renewed",
        "medium",
        "A self-signed certificate makes the API server believe whoever answers.",
        kubelet(
            ("serverTLSBootstrap",),
            one_of("true"),
            "serverTLSBootstrap: true; bmk approves against the data center file",
        ),
        cis=("4.2.9", "4.2.11"),
    ),
    Control(
        "kubelet-tls-floor",
        "The kubelet speaks TLS 1.2 or newer",
        "medium",
        "Older versions can be read or forged.",
        kubelet(("tlsMinVersion",), one_of("VersionTLS12", "VersionTLS13"), "tlsMinVersion: VersionTLS12"),
        cis=("4.2.12",),
    ),
    Control(
        "kubelet-tls-ciphers",
        "The kubelet uses strong ciphers only",
        "medium",
        "Weak ciphers can be read later.",
        kubelet(("tlsCipherSuites",), _ciphers, "tlsCipherSuites: ECDHE with AES-GCM or ChaCha20"),
        cis=("4.2.12",),
    ),
    Control(
        "kubelet-pids",
        "A pod cannot use up the process table",
        "medium",
        "A fork bomb in one pod stops the node.",
        kubelet(("podPidsLimit",), at_least(1), "podPidsLimit: 4096"),
        cis=("4.2.13",),
    ),
    Control(
        "kubelet-seccomp",
        "Containers have a seccomp profile by default",
        "high",
        "Some hundred system calls that containers never need are where kernel holes are.",
        kubelet(("seccompDefault",), one_of("true"), "seccompDefault: true"),
        cis=("4.2.14", "5.6.2"),
    ),
    Control(
        "kubelet-user-namespaces",
        "Each pod's user namespace has ids of its own",
        "medium",
        "Pods that share ids on the host can read each other's files.",
        kubelet(
            ("userNamespaces", "idsPerPod"),
            lambda v: str(v).isdigit() and int(v) > 0 and int(v) % 65536 == 0,
            "userNamespaces.idsPerPod: 65536",
        ),
    ),
    Control(
        "kubelet-kernel-defaults",
        "The kubelet refuses a kernel that is set otherwise",
        "low",
        "It would rather not start than quietly change the node's settings.",
        Requirement("protectKernelDefaults: true", _kernel),
    ),
    Control(
        "kubelet-hostname",
        "The kubelet has the name of the inventory",
        "low",
        "Another name can take another node's labels, and its secrets.",
        Requirement("no --hostname-override", _hostname),
        cis=("4.2.7",),
    ),
    Control(
        "kubelet-unit-file",
        "The kubelet's unit is root's",
        "medium",
        PRIVILEGED_FILE,
        files("/etc/systemd/system/kubelet.service", "/etc/systemd/system/kubelet.service.d/*"),
        cis=("4.1.1", "4.1.2"),
    ),
    Control(
        "kubelet-kubeconfig-file",
        "The kubelet's credentials are root's",
        "high",
        PRIVILEGED_FILE,
        files("/etc/kubernetes/kubelet.conf"),
        cis=("4.1.5", "4.1.6"),
    ),
    Control(
        "kubelet-ca-file",
        "The authority of client certificates is root's",
        "medium",
        "Who can replace it decides whom the kubelet believes.",
        files("/etc/kubernetes/pki/ca.crt", mode=0o644),
        cis=("4.1.7", "4.1.8"),
    ),
    Control(
        "kubelet-config-file",
        "The kubelet's configuration is root's",
        "medium",
        PRIVILEGED_FILE,
        files(KUBELET_CONFIG, "/var/lib/kubelet/kubeadm-flags.env"),
        cis=("4.1.9", "4.1.10"),
    ),
    Control(
        "kubelet-root",
        "The kubelet's directory is for root only",
        "medium",
        "It holds the volumes of all pods, secrets among them.",
        files("/var/lib/kubelet", mode=0o701),
    ),
    Control(
        "cni-files",
        "The network plug-in's configuration is root's",
        "medium",
        "A plug-in runs as root for every pod.",
        files("/etc/cni/net.d/*"),
        cis=("1.1.9", "1.1.10"),
    ),
    Control(
        "node-binaries",
        "The programs that run as root are root's",
        "high",
        "Who can replace a program of root is root.",
        files("/usr/local/bin/*", "/opt/cni/bin", mode=0o755),
    ),
)
