"""The kubelet: its configuration, and that it runs with it."""

from __future__ import annotations

from bmk.hardening.apiserver import TLS_CIPHERS
from bmk.hardening.control import Control, Verdict, at_least, files, holds, kubelet, one_of
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
        "kubelet.service began after config.yaml and kubeadm-flags.env",
        _fresh,
    ),
    kubelet(
        "kubelet-anonymous",
        "The kubelet asks who is asking",
        ("4.2.1",),
        ("authentication", "anonymous", "enabled"),
        one_of("false"),
        "authentication.anonymous.enabled: false",
        _ASKED,
        "high",
    ),
    kubelet(
        "kubelet-authorization",
        "The kubelet asks the API server what one may",
        ("4.2.2",),
        ("authorization", "mode"),
        one_of("Webhook"),
        "authorization.mode: Webhook",
        _ASKED,
        "high",
    ),
    kubelet(
        "kubelet-client-ca",
        "The kubelet knows its clients by certificate",
        ("4.2.3",),
        ("authentication", "x509", "clientCAFile"),
        one_of("/etc/kubernetes/pki/ca.crt"),
        "authentication.x509.clientCAFile: /etc/kubernetes/pki/ca.crt",
        _ASKED,
        "high",
    ),
    kubelet(
        "kubelet-read-only-port",
        "The kubelet has no port without authentication",
        ("4.2.4",),
        ("readOnlyPort",),
        one_of("0", None),
        "readOnlyPort: 0",
        "It shows every pod of the node to every pod of the cluster.",
        "high",
    ),
    kubelet(
        "kubelet-streaming-timeout",
        "Idle exec sessions end",
        ("4.2.5",),
        ("streamingConnectionIdleTimeout",),
        lambda v: v not in (None, "0", "0s"),
        "streamingConnectionIdleTimeout: 5m0s",
        "A forgotten shell is an open door.",
        "low",
    ),
    kubelet(
        "kubelet-iptables",
        "The kubelet keeps its packet filter chains",
        ("4.2.6",),
        ("makeIPTablesUtilChains",),
        one_of("true"),
        "makeIPTablesUtilChains: true",
        "Without them martian packets reach localhost services.",
        "low",
    ),
    kubelet(
        "kubelet-events",
        "Events are recorded, at a limited rate",
        ("4.2.8",),
        ("eventRecordQPS",),
        at_least(1),
        "eventRecordQPS: 50",
        "0 means no limit: one pod drowns the events that matter.",
        "low",
    ),
    kubelet(
        "kubelet-rotate",
        "The kubelet renews its client certificate",
        ("4.2.10",),
        ("rotateCertificates",),
        one_of("true"),
        "rotateCertificates: true",
        "A node whose certificate ends is a node that is gone.",
        "low",
    ),
    kubelet(
        "kubelet-serving-certificate",
        "The kubelet's serving certificate is signed by the cluster, and renewed",
        ("4.2.9", "4.2.11"),
        ("serverTLSBootstrap",),
        one_of("true"),
        "serverTLSBootstrap: true; bmk approves against the data center file",
        "A self-signed certificate makes the API server believe whoever answers.",
    ),
    kubelet(
        "kubelet-tls-floor",
        "The kubelet speaks TLS 1.2 or newer",
        ("4.2.12",),
        ("tlsMinVersion",),
        one_of("VersionTLS12", "VersionTLS13"),
        "tlsMinVersion: VersionTLS12",
        "Older versions can be read or forged.",
    ),
    kubelet(
        "kubelet-tls-ciphers",
        "The kubelet uses strong ciphers only",
        ("4.2.12",),
        ("tlsCipherSuites",),
        _ciphers,
        "tlsCipherSuites: ECDHE with AES-GCM or ChaCha20",
        "Weak ciphers can be read later.",
    ),
    kubelet(
        "kubelet-pids",
        "A pod cannot use up the process table",
        ("4.2.13",),
        ("podPidsLimit",),
        at_least(1),
        "podPidsLimit: 4096",
        "A fork bomb in one pod stops the node.",
    ),
    kubelet(
        "kubelet-seccomp",
        "Containers have a seccomp profile by default",
        ("4.2.14", "5.6.2"),
        ("seccompDefault",),
        one_of("true"),
        "seccompDefault: true",
        "Some hundred system calls that containers never need are where kernel holes are.",
        "high",
    ),
    kubelet(
        "kubelet-user-namespaces",
        "Each pod's user namespace has ids of its own",
        (),
        ("userNamespaces", "idsPerPod"),
        lambda v: str(v).isdigit() and int(v) > 0 and int(v) % 65536 == 0,
        "userNamespaces.idsPerPod: 65536",
        "Pods that share ids on the host can read each other's files.",
    ),
    Control(
        "kubelet-kernel-defaults",
        "The kubelet refuses a kernel that is set otherwise",
        "low",
        "It would rather not start than quietly change the node's settings.",
        "protectKernelDefaults: true",
        _kernel,
    ),
    Control(
        "kubelet-hostname",
        "The kubelet has the name of the inventory",
        "low",
        "Another name can take another node's labels, and its secrets.",
        "no --hostname-override",
        _hostname,
        cis=("4.2.7",),
    ),
    files(
        "kubelet-unit-file",
        "The kubelet's unit is root's",
        ("4.1.1", "4.1.2"),
        ["/etc/systemd/system/kubelet.service", "/etc/systemd/system/kubelet.service.d/*"],
    ),
    files(
        "kubelet-kubeconfig-file",
        "The kubelet's credentials are root's",
        ("4.1.5", "4.1.6"),
        ["/etc/kubernetes/kubelet.conf"],
        severity="high",
    ),
    files(
        "kubelet-ca-file",
        "The authority of client certificates is root's",
        ("4.1.7", "4.1.8"),
        ["/etc/kubernetes/pki/ca.crt"],
        0o644,
        why="Who can replace it decides whom the kubelet believes.",
    ),
    files(
        "kubelet-config-file",
        "The kubelet's configuration is root's",
        ("4.1.9", "4.1.10"),
        [KUBELET_CONFIG, "/var/lib/kubelet/kubeadm-flags.env"],
    ),
    files(
        "kubelet-root",
        "The kubelet's directory is for root only",
        (),
        ["/var/lib/kubelet"],
        0o701,
        why="It holds the volumes of all pods, secrets among them.",
    ),
    files(
        "cni-files",
        "The network plug-in's configuration is root's",
        ("1.1.9", "1.1.10"),
        ["/etc/cni/net.d/*"],
        why="A plug-in runs as root for every pod.",
    ),
    files(
        "node-binaries",
        "The programs that run as root are root's",
        (),
        ["/usr/local/bin/*", "/opt/cni/bin"],
        0o755,
        severity="high",
        why="Who can replace a program of root is root.",
    ),
)
