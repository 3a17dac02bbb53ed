"""Variables of roles: the inventory's and every role's own, as models.

From here come `roles/*/meta/argument_specs.yml` and `roles/*/defaults/main.yml` (scripts/role-specs writes them, a test
keeps them in step), and a test checks that the inventory of a data center is what these models say.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Variables(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Member(Variables):
    """A control plane of the cluster."""

    name: str
    address: str


class NeighbourVars(Variables):
    """A node that this one exchanges routes with."""

    name: str
    address: str
    pods: str | None = Field(description="all that it may announce; none: it passes on the ranges of other nodes")
    client: bool = Field(description="whether this node passes on what that one announces")


class BgpVars(Variables):
    asn: int
    peers: list[str] = Field(description="top-of-rack routers; empty when the nodes peer with each other")
    accept: list[str] = Field(description="what these routers may announce beside the pods of nodes")


class MasqueradeVars(Variables):
    """Destinations, as addresses and ranges; the first list that holds one decides, and the rest is masqueraded."""

    never: list[str] = Field(description="see the pods' own addresses")
    beside: list[str] = Field(description="see the node's address")
    nodes: list[str] = Field(description="networks of nodes, which see the pods' own addresses")


class NetworkVars(Variables):
    plugin: Literal["routed", "cilium", "calico", "none"]
    pods: str = Field(description="range of all pods")
    services: str = Field(description="range of services")
    node_prefix: int = Field(description="prefix length of the range of one node")
    bgp: BgpVars
    masquerade: MasqueradeVars | None = Field(description="what pods reach with the address of their node, if anything")


class GroupsVariables(Variables):
    default: Literal["audit", "warn", "deny"]
    namespaces: dict[str, str] = Field(description="namespace to mode")
    exempt: list[str]


class PodSecurityVars(Variables):
    enforce: Literal["privileged", "baseline", "restricted"]
    exempt: list[str]


class Hardening(Variables):
    groups: GroupsVariables = Field(description="containers with group 0: where audit, warn or deny holds")
    pod_security: PodSecurityVars


class EndpointVars(Variables):
    host: str
    port: int


class Kubernetes(Variables):
    version: str = Field(description="such as 1.37.2")


class ClusterVariables(Variables):
    """`bmk_cluster`: what every node knows of its cluster."""

    name: str
    kubernetes: Kubernetes
    endpoint: EndpointVars = Field(description="where the API is")
    vip: str | None = Field(description="address that the control planes carry in turn, if any")
    vip_key: str = Field(description="mark of the key that they sign with what they say of it")
    control_plane: list[Member]
    several: bool = Field(description="whether it has more than one node")
    network: NetworkVars
    hardening: Hardening = Field(description="as the data center file has it")


class HostVariables(Variables):
    """`bmk_host`: what a node knows of itself."""

    name: str
    role: Literal["control_plane", "worker", "spare"]
    cluster: str | None
    rack: str
    profile: str
    serial: str
    address: str
    prefix: int
    gateway: str | None
    dns: list[str]
    ntp: list[str]
    mtu: int
    macs: list[str]
    pods: str | None
    neighbours: list[NeighbourVars] = Field(description="nodes that it exchanges routes with")
    labels: dict[str, Any]


class DeployerVars(Variables):
    address: str
    http_port: int
    registry_port: int
    registry_certificate: str = Field("", description="in PEM, what nodes know it by; empty: it has not run yet")


class InventoryVars(Variables):
    """Variables that come from the inventory. Roles name those they use."""

    bmk_datacenter: str = Field(description="name of the data center")
    bmk_host: HostVariables = Field(description="this host")
    bmk_cluster: ClusterVariables = Field(description="its cluster")
    bmk_deployer: DeployerVars = Field(description="the machine that serves files and images")
    bmk_artifacts: dict[str, Any] = Field(description="files of the mirror: name to url, sha256, version, size")
    bmk_images: dict[str, Any] = Field(description="images of the mirror: name to reference")
    bmk_timing: Literal["standard", "emulated"] = Field(description="emulated: with longer timeouts")
    bmk_probe: dict[str, Any] = Field(description="result of bmk_probe; the playbook registers it")
    bmk_vip_key_file: str = Field(description="where the controller keeps the key that they sign with")
    bmk_via: str = Field(description="a control plane whose API answers")


class SocketGroup(Variables):
    name: str = "bmk-cri"
    gid: int = 952


class OpenFiles(Variables):
    soft: int = 65536
    hard: int = 524288


class NodeBaseline(Variables):
    """Packages, kernel modules and kernel settings that a node needs before anything else."""

    node_baseline_kernel_modules: list[str] = Field(
        ["overlay", "nf_tables", "nf_conntrack", "nfnetlink_queue", "nft_queue"],
        description="Kernel modules that Kubernetes' network needs; NetworkPolicy those of queues.",
    )
    node_baseline_sysctls: dict[str, Any] = Field(
        {
            "net.ipv4.ip_forward": 1,
            "net.ipv4.conf.all.rp_filter": 1,
            "net.ipv4.conf.all.accept_redirects": 0,
            "net.ipv4.conf.all.send_redirects": 0,
            "net.ipv4.conf.all.accept_source_route": 0,
            "net.ipv4.conf.default.accept_redirects": 0,
            "net.ipv4.conf.default.send_redirects": 0,
            "net.ipv4.conf.default.accept_source_route": 0,
            "net.ipv4.icmp_echo_ignore_broadcasts": 1,
            "net.ipv4.icmp_ignore_bogus_error_responses": 1,
            "net.ipv4.tcp_syncookies": 1,
            # what kube-proxy sets elsewhere, where it may do everything
            "net.netfilter.nf_conntrack_tcp_timeout_established": 86400,
            "net.netfilter.nf_conntrack_tcp_timeout_close_wait": 3600,
            "vm.overcommit_memory": 1,
            "vm.panic_on_oom": 0,
            "kernel.panic": 10,
            "kernel.panic_on_oops": 1,
            "kernel.keys.root_maxkeys": 1000000,
            "kernel.keys.root_maxbytes": 25000000,
            "kernel.dmesg_restrict": 1,
            "kernel.kptr_restrict": 1,
            "kernel.unprivileged_bpf_disabled": 1,
            "kernel.randomize_va_space": 2,
            "fs.suid_dumpable": 0,
            "fs.protected_hardlinks": 1,
            "fs.protected_symlinks": 1,
            "fs.protected_fifos": 1,
            "fs.protected_regular": 2,
            "fs.inotify.max_user_instances": 8192,
            "fs.inotify.max_user_watches": 524288,
            "user.max_user_namespaces": 16384,
        },
        description="Kernel settings. Some are what the kubelet's protectKernelDefaults insists on.",
    )
    node_baseline_sshd: dict[str, str] = Field(
        {
            "AllowAgentForwarding": "no",
            "HostbasedAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "MaxAuthTries": "4",
            "PasswordAuthentication": "no",
            "PermitEmptyPasswords": "no",
            "PermitRootLogin": "prohibit-password",
            "PermitUserEnvironment": "no",
            "X11Forwarding": "no",
        },
        description="Settings of sshd; `bmk hardening` asks sshd for those in force.",
    )
    node_baseline_packages: list[str] = Field(
        ["bird2", "conntrack", "ethtool", "iproute2", "nftables", "procps"],
        description="Operating system packages that the roles use; the node image has them all.",
    )
    node_baseline_memory_mb: int = Field(900, description="Least memory of a node, in MB.")


class ContainerRuntime(Variables):
    """containerd and runc, hardened."""

    container_runtime_socket_group: SocketGroup = Field(
        SocketGroup(),
        description="Group of the runtime's sockets: the same number on every node, and nobody in it (access is root).",
    )
    container_runtime_nofile: OpenFiles = Field(OpenFiles(), description="Open files of a container.")
    container_runtime_capabilities: list[str] = Field(
        [
            "CAP_CHOWN",
            "CAP_DAC_OVERRIDE",
            "CAP_FSETID",
            "CAP_FOWNER",
            "CAP_SETGID",
            "CAP_SETUID",
            "CAP_SETFCAP",
            "CAP_SETPCAP",
            "CAP_NET_BIND_SERVICE",
            "CAP_SYS_CHROOT",
            "CAP_KILL",
        ],
        description="What root in a container may do when its pod says nothing: no raw sockets, device nodes or audit.",
    )


class Kubelet(Variables):
    """kubelet, kubeadm and kubectl. The kubelet waits for kubeadm."""

    kubelet_tools: list[str] = Field(["kubectl"], description="Tools that an administrator expects on a node.")
    kubelet_tools_control_plane: list[str] = Field(
        ["etcdctl", "etcdutl"], description="More of them on control planes: etcd's own, for backup and repair."
    )


class ClusterNetworkVars(Variables):
    """CNI plug-ins; with the plug-in `routed`, routes between nodes by BIRD, and the way out by nftables."""

    cluster_network_bgp_hold: int = Field(30, description="Seconds of silence until a BGP neighbour counts as gone.")


class ControlPlaneVars(Variables):
    """The API behind a VIP (keepalived and haproxy), and kubeadm init and join of control planes."""

    control_plane_health_port: int = Field(
        8404, description="Where haproxy tells keepalived whether a live API server is behind it; loopback only."
    )


class Worker(Variables):
    """kubeadm join of a worker."""


class BootServer(Variables):
    """dnsmasq, nginx, registry, boot service and approver as hardened systemd units, on the machine that runs bmk."""

    boot_server_user: str = Field(
        "bmk", description="Runs the boot service, the approver and bmk; other servers have users beside it."
    )
    boot_server_state: str = Field("/var/lib/bmk-deployer", description="BMK_STATE_DIR: journals, keys, files.")
    boot_server_cache: str = Field("/var/cache/bmk", description="BMK_CACHE_DIR: the mirror and the registry's images.")
    boot_server_python: str = Field("/opt/bmk/bin/python", description="The Python that bmk is installed in.")
    boot_server_datacenter: str = Field("", description="Path of the data center, when not inventories/NAME.")
    boot_server_stops: list[str] = Field(
        ["nginx.service", "docker-registry.service"], description="Units of Debian's packages that these replace."
    )


class DriftTimer(Variables):
    """A nightly `bmk drift`: a hardened systemd service with its timer, which leaves page, JSON, metrics and rules."""

    drift_timer_calendar: str = Field("*-*-* 02:00:00", description="When to scan, as systemd writes times.")
    drift_timer_certificates: str = Field(
        "*-*-* 04:00:00", description="When to look at certificates and renew those that end soon."
    )
    drift_timer_jitter: str = Field("30min", description="Both begin at random within this time.")
    drift_timer_longest: str = Field("4h", description="What takes longer is ended.")
    drift_timer_user: str = Field(
        "bmk", description="Runs the scan: the owner of journal and keys. playbooks/boot.yml makes it."
    )
    drift_timer_bmk: str = Field("/opt/bmk/bin/bmk", description="The program.")
    drift_timer_datacenter: str = Field("", description="Path of the data center, when not inventories/NAME.")
    drift_timer_state: str = Field("/var/lib/bmk-deployer", description="BMK_STATE_DIR: journals, keys.")
    drift_timer_pages: str = Field("/var/lib/bmk-drift", description="Where index.html, drift.json and drift.prom go.")
    drift_timer_textfiles: str = Field(
        "/var/lib/prometheus/node-exporter", description="Where the node exporter looks for *.prom."
    )
    drift_timer_rules: str = Field("/etc/prometheus/bmk-drift.rules.yml", description="Where the alert rules go.")


ROLES: dict[str, type[Variables]] = {
    "boot_server": BootServer,
    "drift_timer": DriftTimer,
    "node_baseline": NodeBaseline,
    "container_runtime": ContainerRuntime,
    "kubelet": Kubelet,
    "cluster_network": ClusterNetworkVars,
    "control_plane": ControlPlaneVars,
    "worker": Worker,
}

# Role and entry point -> what it takes from the inventory.
USES: dict[str, dict[str, tuple[str, ...]]] = {
    "boot_server": {"main": ("bmk_datacenter", "bmk_deployer")},
    "drift_timer": {"main": ("bmk_datacenter",)},
    "node_baseline": {"main": ("bmk_host", "bmk_probe")},
    "container_runtime": {"main": ("bmk_deployer", "bmk_artifacts", "bmk_images", "bmk_timing", "bmk_probe")},
    "kubelet": {"main": ("bmk_host", "bmk_cluster", "bmk_artifacts", "bmk_images", "bmk_timing", "bmk_probe")},
    "cluster_network": {"main": ("bmk_host", "bmk_cluster", "bmk_artifacts")},
    "control_plane": {
        "main": ("bmk_host", "bmk_cluster", "bmk_images", "bmk_timing", "bmk_probe", "bmk_vip_key_file"),
        "init": ("bmk_host", "bmk_cluster", "bmk_images", "bmk_timing", "bmk_probe"),
        "join": ("bmk_host", "bmk_cluster", "bmk_images", "bmk_timing", "bmk_probe", "bmk_via"),
    },
    "worker": {"main": ("bmk_host", "bmk_cluster", "bmk_images", "bmk_timing", "bmk_probe", "bmk_via")},
}
