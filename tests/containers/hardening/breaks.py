"""How each control of a node is broken on a real one: what is typed there, all of which `bmk provision` puts right."""

from __future__ import annotations

from dataclasses import dataclass

C, W, M = "cp-1", "worker-1", "vm-1"
RUNTIME, SPEC = "/etc/containerd/config.toml", "/etc/containerd/base-spec.json"
KUBELET, FLAGS = "/var/lib/kubelet/config.yaml", "/var/lib/kubelet/kubeadm-flags.env"
OURS, PKI, MANIFESTS = "/etc/kubernetes/bmk", "/etc/kubernetes/pki", "/etc/kubernetes/manifests"
GRPC, TTRPC = "/run/containerd/containerd.sock", "/run/containerd/containerd.sock.ttrpc"


@dataclass(frozen=True)
class Break:
    """What somebody types on a host so that `control` fails there, and nothing else."""

    control: str
    host: str
    script: str


def edit(path: str, old: str, new: str, where: str = "") -> str:
    """An edit that hides: the file has the time that it had before."""
    return (
        f"cp -p {path} /run/before && sed -i '{where} s#{old}#{new}#' {path} && touch -r /run/before {path} "
        f"&& ! cmp -s /run/before {path}"
    )


def python(code: str) -> str:
    return f"python3 - <<'END'\n{code}\nEND"


# An access list: user 65534 may read and write, and `stat` still says 0660.
LISTED = f"""
import os, struct
entries = ((1, 6, -1), (2, 6, 65534), (4, 6, -1), (16, 6, -1), (32, 0, -1))
listed = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
os.setxattr("{GRPC}", "system.posix_acl_access", listed)
"""
UNENCRYPTED = f"""
import json, os
info = os.stat("{OURS}/encryption.yaml")
body = json.load(open("{OURS}/encryption.yaml"))
body["resources"][0]["providers"].reverse()
json.dump(body, open("{OURS}/encryption.yaml", "w"))
os.utime("{OURS}/encryption.yaml", ns=(info.st_atime_ns, info.st_mtime_ns))
"""
RENAMED = (
    f"sed -i 's#ARGS=\"#&--hostname-override=other #' {FLAGS} && systemctl restart kubelet && "
    "until grep -q hostname-override=other /proc/$(pidof kubelet)/cmdline; do sleep 0.2; done"
)
PATCHED = '[{"op": "replace", "path": "/spec/template/spec/securityContext/runAsGroup", "value": 0}]'
ROOTED = (
    "k='kubectl --kubeconfig /etc/kubernetes/admin.conf -n kube-system' && "
    f"$k patch ds kube-proxy --type=json -p '{PATCHED}' && $k rollout status ds/kube-proxy --timeout=110s"
)
# Writing ip_forward resets redirects, which are another control's.
UNROUTED = (
    "sysctl -qw net.ipv4.ip_forward=0 && for n in all default; do sysctl -qw net.ipv4.conf.$n.accept_redirects=0 "
    "net.ipv4.conf.$n.send_redirects=0 net.ipv4.conf.$n.accept_source_route=0; done"
)

# In this order: what restarts a daemon first, what makes one look stale last. Nothing is rolled out any more where
# a kubelet took another name.
NODE = (
    Break("proxy-identity", C, ROOTED),
    Break("kubelet-hostname", W, RENAMED),
    Break("runtime-socket-grpc", W, f"chgrp root {GRPC}"),
    Break("runtime-socket-ttrpc", W, f"chgrp root {TTRPC}"),
    Break("runtime-socket-refuses", W, python(LISTED)),
    Break("runtime-config-schema", W, edit(RUNTIME, "^version = 4", "version = 2")),
    Break("runtime-config-whole", W, edit(RUNTIME, "^imports = .*", 'imports = ["/etc/containerd/conf.d/*.toml"]')),
    Break("runtime-no-tcp", W, edit(RUNTIME, "address = .*", 'address = "0.0.0.0:1338"', "/v1.metrics/,+1")),
    Break("runtime-stream-local", W, edit(RUNTIME, "disable_tcp_service = true", "disable_tcp_service = false")),
    Break("runtime-nri-locked", W, edit(RUNTIME, "disable_connections = true", "disable_connections = false")),
    Break("runtime-no-criu", W, edit(RUNTIME, "enable_criu = false", "enable_criu = true")),
    Break("runtime-image-volumes", W, edit(RUNTIME, "image_defined_volumes = true", "image_defined_volumes = false")),
    Break("runtime-unprivileged-net", W, edit(RUNTIME, "unprivileged_ports = true", "unprivileged_ports = false")),
    Break("runtime-image-verifier", W, "chmod 0777 /etc/containerd/image-verifier"),
    Break("runtime-registry", W, edit(RUNTIME, "/etc/containerd/certs.d", "/etc/containerd/other.d")),
    Break("runtime-lsm", W, edit(RUNTIME, "disable_apparmor = false", "disable_apparmor = true")),
    Break("runtime-root", W, "chmod 0711 /var/lib/containerd"),
    Break("runtime-state", W, "chmod 0755 /run/containerd"),
    Break("runtime-config-files", W, f"chmod 0644 {SPEC}"),
    Break("container-capabilities", W, edit(SPEC, "CAP_CHOWN", "CAP_NET_RAW")),
    Break("container-nofile", W, edit(SPEC, "RLIMIT_NOFILE", "RLIMIT_CORE")),
    Break("container-no-new-privileges", W, edit(SPEC, '"noNewPrivileges": true', '"noNewPrivileges": false')),
    Break("kubelet-anonymous", W, edit(KUBELET, "^    enabled: false", "    enabled: true")),
    Break("kubelet-authorization", W, edit(KUBELET, "mode: Webhook", "mode: AlwaysAllow")),
    Break("kubelet-client-ca", W, edit(KUBELET, "clientCAFile: .*", "clientCAFile: /tmp/ca.crt")),
    Break("kubelet-read-only-port", W, edit(KUBELET, "^podPidsLimit", "readOnlyPort: 10255\\n&")),
    Break("kubelet-streaming-timeout", W, edit(KUBELET, "IdleTimeout: 5m0s", "IdleTimeout: 0s")),
    Break("kubelet-iptables", W, edit(KUBELET, "UtilChains: true", "UtilChains: false")),
    Break("kubelet-events", W, edit(KUBELET, "eventRecordQPS: 50", "eventRecordQPS: 0")),
    Break("kubelet-rotate", W, edit(KUBELET, "rotateCertificates: true", "rotateCertificates: false")),
    Break("kubelet-serving-certificate", W, edit(KUBELET, "TLSBootstrap: true", "TLSBootstrap: false")),
    Break("kubelet-tls-floor", W, edit(KUBELET, "tlsMinVersion: VersionTLS12", "tlsMinVersion: VersionTLS10")),
    Break(
        "kubelet-tls-ciphers", W, edit(KUBELET, "- TLS_ECDHE_RSA_WITH_AES_256_GCM.*", "- TLS_RSA_WITH_AES_128_CBC_SHA")
    ),
    Break("kubelet-pids", W, edit(KUBELET, "podPidsLimit: 4096", "podPidsLimit: -1")),
    Break("kubelet-seccomp", W, edit(KUBELET, "seccompDefault: true", "seccompDefault: false")),
    Break("kubelet-user-namespaces", W, edit(KUBELET, "idsPerPod: 65536", "idsPerPod: 1000")),
    Break("kubelet-unit-file", W, "chmod 0644 /etc/systemd/system/kubelet.service"),
    Break("kubelet-kubeconfig-file", W, "chmod 0640 /etc/kubernetes/kubelet.conf"),
    Break("kubelet-ca-file", W, f"chmod 0664 {PKI}/ca.crt"),
    Break("kubelet-config-file", W, f"chmod 0644 {KUBELET}"),
    Break("kubelet-root", W, "chmod 0755 /var/lib/kubelet"),
    Break("cni-files", W, "chmod 0644 /etc/cni/net.d/10-bmk.conflist"),
    Break("node-binaries", W, "chmod 0777 /usr/local/bin/ctr"),
    Break("node-network", W, "sysctl -qw net.ipv4.conf.all.accept_redirects=1"),
    Break("node-forwarding", C, UNROUTED),
    Break(
        "node-sshd",
        W,
        "sed -i 's#AllowAgentForwarding no#AllowAgentForwarding yes#' /etc/ssh/sshd_config.d/20-bmk.conf",
    ),
    Break("runtime-config-live", W, f"touch {RUNTIME}"),
    Break("kubelet-config-live", W, f"touch {KUBELET}"),
    Break("manifest-api", C, f"chmod 0644 {MANIFESTS}/kube-apiserver.yaml"),
    Break("manifest-cm", C, f"chown 1000 {MANIFESTS}/kube-controller-manager.yaml"),
    Break("manifest-scheduler", C, f"chgrp 1000 {MANIFESTS}/kube-scheduler.yaml"),
    Break("manifest-etcd", C, f"chmod 0640 {MANIFESTS}/etcd.yaml"),
    Break("etcd-data", C, "chmod 0750 /var/lib/etcd"),
    Break("kubeconfig-admin", C, "chmod 0644 /etc/kubernetes/super-admin.conf"),
    Break("kubeconfig-scheduler", C, "chmod 0644 /etc/kubernetes/scheduler.conf"),
    Break("kubeconfig-cm", C, "chmod 0644 /etc/kubernetes/controller-manager.conf"),
    Break("pki-owner", C, f"chown 1000 {PKI}/etcd"),
    Break("pki-certificates", C, f"chmod 0664 {PKI}/apiserver.crt"),
    Break("pki-keys", C, f"chmod 0640 {PKI}/etcd/ca.key"),
    Break("api-files", C, f"chmod 0644 {OURS}/authentication.yaml"),
    Break("audit-files", C, "chmod 0755 /var/log/kubernetes/audit"),
    Break("api-encryption-providers", C, python(UNENCRYPTED)),
    Break("audit-concerns", C, edit(f"{OURS}/audit-policy.yaml", "Metadata", "RequestResponse")),
    Break(
        "pod-security", C, edit(f"{OURS}/admission.yaml", '"enforce-version": "v1.37"', '"enforce-version": "latest"')
    ),
    Break("api-files-live", C, f"touch {OURS}/admission.yaml"),
)

API, CM, SCHEDULER, ETCD = "kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"
SERVING = f"{PKI}/apiserver.crt,{PKI}/apiserver.key"
# control -> flags of static pods, each with the value that it gets; None takes it out. All at once: etcd in clear text,
# so that an API server starts that no longer knows it. Nobody can use it any more, not even bmk.
PODS: dict[str, list[tuple[str, str, str | None]]] = {
    "api-no-tokens": [(API, "token-auth-file", f"{PKI}/tokens.csv")],
    "api-plugins": [(API, "disable-admission-plugins", "PodSecurity")],
    "api-kubelet-client": [(API, "kubelet-client-certificate", None), (API, "kubelet-client-key", None)],
    "api-kubelet-ca": [(API, "kubelet-certificate-authority", None)],
    "api-authorization": [(API, "authorization-mode", "Node,RBAC,AlwaysAllow")],
    "api-profiling": [(API, "profiling", None)],
    "api-audit-log": [(API, "audit-log-path", None)],
    "api-audit-age": [(API, "audit-log-maxage", "3")],
    "api-audit-backups": [(API, "audit-log-maxbackup", None)],
    "api-audit-size": [(API, "audit-log-maxsize", "1")],
    "api-service-account-lookup": [(API, "service-account-lookup", "false")],
    "api-etcd-client": [
        (API, "etcd-servers", "http://127.0.0.1:2379"),
        *((API, f"etcd-{name}", None) for name in ("cafile", "certfile", "keyfile")),
    ],
    "api-serving": [
        (API, "tls-cert-file", None),
        (API, "tls-private-key-file", None),
        (API, "tls-sni-cert-key", SERVING),
    ],
    "api-encryption": [(API, "encryption-provider-config", None)],
    "api-tls-floor": [(API, "tls-min-version", "VersionTLS10")],
    "api-tls-ciphers": [(API, "tls-cipher-suites", None)],
    "api-client-ca": [(API, "client-ca-file", None)],
    "api-service-account-key": [(API, "service-account-key-file", None)],
    "api-request-timeout": [(API, "request-timeout", "0s")],
    "api-token-expiry": [(API, "service-account-extend-token-expiration", None)],
    "cm-gc": [(CM, "terminated-pod-gc-threshold", "0")],
    "cm-profiling": [(CM, "profiling", "true")],
    "cm-credentials": [(CM, "use-service-account-credentials", "false")],
    "cm-keys": [(CM, "root-ca-file", None)],
    "cm-rotate": [(CM, "feature-gates", "RotateKubeletServerCertificate=false")],
    "cm-local": [(CM, "bind-address", "0.0.0.0")],
    "scheduler-profiling": [(SCHEDULER, "profiling", None)],
    "scheduler-local": [(SCHEDULER, "bind-address", "0.0.0.0")],
    "etcd-serving": [
        (ETCD, "listen-client-urls", "http://127.0.0.1:2379"),
        (ETCD, "advertise-client-urls", "http://127.0.0.1:2379"),
        (ETCD, "cert-file", None),
        (ETCD, "key-file", None),
    ],
    "etcd-clients": [(ETCD, "client-cert-auth", "false")],
    "etcd-auto-tls": [(ETCD, "auto-tls", "true")],
    "etcd-peer-serving": [
        (ETCD, "listen-peer-urls", "http://127.0.0.1:2380"),
        (ETCD, "peer-cert-file", None),
        (ETCD, "peer-key-file", None),
    ],
    "etcd-peers": [(ETCD, "peer-client-cert-auth", None)],
    "etcd-peer-auto-tls": [(ETCD, "peer-auto-tls", "true")],
    "etcd-ca": [(ETCD, "trusted-ca-file", f"{PKI}/ca.crt")],
    "etcd-tls-floor": [(ETCD, "tls-min-version", None)],
}
# control -> static pod that gets root's group beside its own
GROUPS = {"etcd-identity": ETCD, "api-identity": API, "cm-identity": CM, "scheduler-identity": SCHEDULER}
# What a container cannot show: kernel, control groups. Broken in tests/machines/planted.
MACHINE = (
    Break("node-kernel", M, "sysctl -qw kernel.dmesg_restrict=0"),
    Break("container-user-namespaces", M, "sysctl -qw user.max_user_namespaces=0"),
    Break("runtime-cgroup", M, edit(RUNTIME, "SystemdCgroup = true", "SystemdCgroup = false")),
    Break("kubelet-kernel-defaults", M, edit(KUBELET, "KernelDefaults: true", "KernelDefaults: false")),
)


def flags(wanted: dict[str, list[tuple[str, str, str | None]]]) -> str:
    """A program that sets flags in manifests of static pods, and gives all of them root's group."""
    changes = [change for found in wanted.values() for change in found]
    return python(f"""
import pathlib
open("{PKI}/tokens.csv", "w").write("token,user,1")
pods = {{}}
for pod, name, value in {changes!r}:
    path = pathlib.Path("{MANIFESTS}") / (pod + ".yaml")
    lines = pods.setdefault(path, path.read_text().splitlines())
    lines[:] = [line for line in lines if not line.startswith(f"    - --{{name}}=")]
    lines.insert(lines.index(f"    - {{pod}}") + 1, f"    - --{{name}}={{value}}") if value is not None else None
for pod in {list(GROUPS.values())!r}:
    path = pathlib.Path("{MANIFESTS}") / (pod + ".yaml")
    lines = pods.setdefault(path, path.read_text().splitlines())
    lines.insert(lines.index("  securityContext:") + 1, "    supplementalGroups: [0]")
for path, lines in pods.items():
    path.write_text("\\n".join(lines) + "\\n")
""")
