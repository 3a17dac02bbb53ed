"""kubeadm's v1beta4 configuration and patches, rendered from the model. Pure: dicts in, documents out.

`Node` is what is known of one host: its part of the inventory (`bmk_cluster`, `bmk_host`, `bmk_images`, `bmk_timing`)
and the facts that the probe saw on it. Secrets (tokens, certificate keys) come in as arguments and leave in documents.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any, cast

from bmk.cluster.kubelet import kubelet_configuration, kubelet_patch
from bmk.cluster.timing import PROFILES, SHARED_TIMEOUTS, ClusterTiming, Timing
from bmk.hardening import accounts, apiserver
from bmk.hardening.network import UNABLE

API = "kubeadm.k8s.io/v1beta4"
PATCHES = "/etc/kubernetes/patches"
CRI_SOCKET = "unix:///run/containerd/containerd.sock"
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Node:
    """One host as kubeadm's configuration needs it."""

    cluster: Mapping[str, Any]
    host: Mapping[str, Any]
    images: Mapping[str, str]
    timing: Timing
    facts: Mapping[str, Any]

    @classmethod
    def of(cls, variables: Mapping[str, Any], facts: Mapping[str, Any]) -> Node:
        """From the variables of a host and the facts of its probe."""
        timing = cast(Timing, variables.get("bmk_timing", "standard"))
        return cls(variables["bmk_cluster"], variables["bmk_host"], variables.get("bmk_images", {}), timing, facts)

    @property
    def profile(self) -> ClusterTiming:
        return PROFILES[self.timing]

    @property
    def routed(self) -> bool:
        """Pod ranges of nodes come from the model, not from the controller manager."""
        return str(self.cluster["network"]["plugin"]) == "routed"


def init_documents(node: Node) -> list[Document]:
    """For `kubeadm init` of the first control plane that is asked."""
    init = {
        "apiVersion": API,
        "kind": "InitConfiguration",
        "localAPIEndpoint": _local_endpoint(node),
        "nodeRegistration": registration(node),
        # a token must be named or kubeadm makes one that lives for a day; joins get their own
        "bootstrapTokens": [{"ttl": "1m0s", "description": "unused", "usages": ["authentication"]}],
        "patches": {"directory": PATCHES},
        **_timeouts(node),
    }
    return [init, cluster_configuration(node), kube_proxy_configuration(node), kubelet_configuration()]


def join_documents(node: Node, token: str, ca_hash: str, certificate_key: str | None = None) -> list[Document]:
    """For `kubeadm join`; with a certificate key, as a control plane. All three are for this host and for minutes."""
    bootstrap = {"apiServerEndpoint": endpoint(node), "token": token, "caCertHashes": [ca_hash]}
    join: Document = {
        "apiVersion": API,
        "kind": "JoinConfiguration",
        "discovery": {"bootstrapToken": bootstrap},
        "nodeRegistration": registration(node),
        "patches": {"directory": PATCHES},
        **_timeouts(node),
    }
    if certificate_key is not None:
        join["controlPlane"] = {"localAPIEndpoint": _local_endpoint(node), "certificateKey": certificate_key}
    return [join]


def upgrade_documents(node: Node) -> list[Document]:
    """For `kubeadm upgrade apply` and `node`.

    Certificates are renewed by `bmk certs renew`, one static pod at a time. The Job by which kubeadm tries the cluster
    runs the pause image with an option that bmk's has not; the smoke test tries more than that.
    """
    options = {
        "certificateRenewal": False,
        "etcdUpgrade": True,
        "ignorePreflightErrors": [*_ignored(node), "CreateJob"],
        "imagePullPolicy": "IfNotPresent",
        "patches": {"directory": PATCHES},
    }
    apply = {**options, "kubernetesVersion": f"v{node.cluster['kubernetes']['version']}"}
    body = {"apiVersion": API, "kind": "UpgradeConfiguration", "apply": apply, "node": options}
    return [{**body, **_timeouts(node)}]


def upload_certs_documents(node: Node, certificate_key: str) -> list[Document]:
    """For `kubeadm init phase upload-certs`, which must not ask the internet for a version."""
    init = {
        "apiVersion": API,
        "kind": "InitConfiguration",
        "certificateKey": certificate_key,
        "localAPIEndpoint": _local_endpoint(node),
        "nodeRegistration": {"criSocket": CRI_SOCKET, "name": node.host["name"]},
    }
    return [init, cluster_configuration(node)]


def cluster_configuration(node: Node) -> Document:
    """The cluster as a whole."""
    network = node.cluster["network"]
    return {
        "apiVersion": API,
        "kind": "ClusterConfiguration",
        "clusterName": node.cluster["name"],
        "kubernetesVersion": f"v{node.cluster['kubernetes']['version']}",
        "controlPlaneEndpoint": endpoint(node),
        "encryptionAlgorithm": "ECDSA-P256",
        "networking": {"podSubnet": network["pods"], "serviceSubnet": network["services"]},
        **_repository(node),
        **_certificates(node),
        "apiServer": _api_server(node),
        "controllerManager": {"extraArgs": _arguments(_controller_manager(node))},
        "scheduler": {"extraArgs": _arguments({**_SCHEDULER, **_lease(node)})},
        "etcd": {"local": {"dataDir": "/var/lib/etcd", "extraArgs": _arguments({**_ETCD, **node.profile.etcd})}},
    }


def kube_proxy_configuration(node: Node) -> Document:
    """nftables; conntrack is set by node_baseline, as kube-proxy may not."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clusterCIDR": node.cluster["network"]["pods"],
        "metricsBindAddress": "127.0.0.1:10249",
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def registration(node: Node) -> Document:
    """How a node enters itself."""
    arguments = {"node-ip": node.host["address"], **node.profile.kubelet_arguments}
    labels = {k: v for k, v in node.host.get("labels", {}).items() if _kubelet_may_set(k)}
    if node.routed and not node.facts["nft_queue"]:
        labels[UNABLE] = ""
    if labels:
        arguments["node-labels"] = ",".join(f"{k}={v}" for k, v in sorted(labels.items()))
    ignored = _ignored(node)
    return {
        "name": node.host["name"],
        "criSocket": CRI_SOCKET,
        "imagePullPolicy": "IfNotPresent",
        "kubeletExtraArgs": _arguments(arguments),
        **({"ignorePreflightErrors": ignored} if ignored else {}),
    }


def _ignored(node: Node) -> list[str]:
    """Preflight checks of kubeadm that do not fit: an old cgroup version was noted, the balancer has the VIP's port."""
    unfit = {
        "SystemVerification": node.facts["cgroup"] == 1 or node.facts["container"],
        "Port-6443": bool(node.cluster.get("vip")) and node.host["role"] == "control_plane",
    }
    return [name for name, ignore in unfit.items() if ignore]


def patches(node: Node) -> dict[str, list[Document] | Document]:
    """Files of the patches directory, by name. `kubeadm init`, `join` and `upgrade` all apply them."""
    found: dict[str, list[Document] | Document] = {}
    kubelet = kubelet_patch(node)
    if kubelet:
        found["kubeletconfiguration+strategic.yaml"] = kubelet
    if node.host["role"] != "control_plane":
        return found
    if node.cluster.get("vip"):
        found["kube-apiserver0+json.yaml"] = [_bind(node)]
    if node.profile.probes:
        found |= {f"{name}1+strategic.yaml": _patience(name, node.profile) for name in STATIC_PODS}
        found["corednsdeployment1+strategic.yaml"] = _dns_patience(node.profile)
    return found | _identities(node)


def endpoint(node: Node) -> str:
    """`host:port` of the API."""
    at = node.cluster["endpoint"]
    return f"{at['host']}:{at['port']}"


# A patch of a probe that kubeadm did not write would be a probe of nothing, and the pod invalid.
_LACKING = {"kube-controller-manager": ("readinessProbe",), "coredns": ("startupProbe",)}
STATIC_PODS = tuple(accounts.STATIC_PODS)

_TLS = {"tls-min-version": "VersionTLS12", "tls-cipher-suites": ",".join(apiserver.TLS_CIPHERS)}
_ETCD = {"tls-min-version": "TLS1.2", "cipher-suites": ",".join(apiserver.TLS_CIPHERS)}
_SCHEDULER = {"profiling": "false", **_TLS}


def _api_server(node: Node) -> Document:
    """The digest of its files is in its environment: when they change, the manifest does, and the pod is made anew."""
    version, settings = node.cluster["kubernetes"]["version"], node.cluster["hardening"]
    return {
        "certSANs": _names(node),
        "extraArgs": _arguments({**apiserver.arguments(), **node.profile.api_server}),
        "extraEnvs": [{"name": "BMK_CONFIGURATION", "value": apiserver.digest(version, settings)}],
        "extraVolumes": apiserver.volumes(),
    }


def _controller_manager(node: Node) -> dict[str, str]:
    network = node.cluster["network"]
    ranges = {"allocate-node-cidrs": "false"} if node.routed else {"node-cidr-mask-size": str(network["node_prefix"])}
    own = {"profiling": "false", "terminated-pod-gc-threshold": "1000", **_TLS}
    return {**own, **ranges, **node.profile.controller_manager, **_lease(node)}


def _lease(node: Node) -> dict[str, str]:
    """A single control plane has nobody to hand over to; a slow one lost its lease, and starting anew was more work."""
    lease = node.profile.lease
    return {"leader-elect": "false"} if lease and len(node.cluster["control_plane"]) == 1 else lease


def _names(node: Node) -> list[str]:
    members = [m["address"] for m in node.cluster["control_plane"]]
    return sorted({node.cluster["endpoint"]["host"], "127.0.0.1", *members})


def _repository(node: Node) -> Document:
    image = node.images.get("kube-apiserver")
    return {"imageRepository": image.rpartition("/")[0]} if image else {}


def _certificates(node: Node) -> Document:
    """A worker has the authority without its key; kubeadm, which only renders files there, takes that for a fault."""
    return {} if node.host["role"] == "control_plane" else {"certificatesDir": "/run/bmk-no-certificates"}


def _local_endpoint(node: Node) -> Document:
    return {"advertiseAddress": node.host["address"], "bindPort": 6443}


def _timeouts(node: Node) -> Document:
    wanted = node.profile.kubeadm_timeouts or (SHARED_TIMEOUTS if node.facts["container"] else {})
    return {"timeouts": dict(wanted)} if wanted else {}


def _arguments(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in sorted(values.items())]


def _kubelet_may_set(label: str) -> bool:
    """The API server refuses labels that a node gives itself below kubernetes.io, but for a few."""
    domain = label.partition("/")[0] if "/" in label else ""
    return not domain.endswith(("kubernetes.io", "k8s.io")) or domain in ("kubelet.kubernetes.io", "node.kubernetes.io")


def _bind(node: Node) -> Document:
    """The balancer has the VIP's port 6443, so the API server keeps to the node's own address."""
    return {"op": "add", "path": "/spec/containers/0/command/-", "value": f"--bind-address={node.host['address']}"}


def _patience(name: str, profile: ClusterTiming) -> Document:
    container = {**_probes(name, profile), "env": _arguments(profile.environment)}
    if name in profile.cpu_requests:
        container["resources"] = {"requests": {"cpu": profile.cpu_requests[name]}}
    metadata = {"name": name, "namespace": "kube-system"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


def _identities(node: Node) -> dict[str, list[Document] | Document]:
    """Patches by which no program of Kubernetes runs with root's group, and all but kube-proxy as a user of their own.

    kubeadm's gate RootlessControlPlane is alpha, deprecated, and unknown to its dry run, which renders for bmk.
    """
    static = {f"{name}2+strategic.yaml": _static_identity(name, user) for name, user in accounts.STATIC_PODS.items()}
    addons = {"corednsdeployment2+strategic.yaml": _dns(node), "kubeproxydaemonset2+strategic.yaml": _proxy(node)}
    return {**static, **addons}


def _static_identity(name: str, user: accounts.Account) -> Document:
    container: Document = {"name": name, "securityContext": accounts.container_context()}
    if name == "etcd":  # it reads its keys; kubeadm would let it write them
        container["volumeMounts"] = [{"name": "etcd-certs", "mountPath": "/etc/kubernetes/pki/etcd", "readOnly": True}]
    metadata = {"name": name, "namespace": "kube-system"}
    spec = {"securityContext": accounts.pod_context(user), "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _dns(node: Node) -> Document:
    """The image's user, said aloud. Port 53 is open to it: the runtime opens low ports to pods.

    Where there will be two nodes, its two replicas are never on one: the second waits for the next node to join.
    """
    spec: Document = {"securityContext": accounts.pod_context(accounts.DNS)}
    if node.cluster["several"]:
        spread = {"topologyKey": "kubernetes.io/hostname", "maxSkew": 1, "minDomains": 2}
        pods = {"labelSelector": {"matchLabels": {"k8s-app": "kube-dns"}}, "matchLabelKeys": ["pod-template-hash"]}
        spec["topologySpreadConstraints"] = [{**spread, "whenUnsatisfiable": "DoNotSchedule", **pods}]
    return _workload("Deployment", "coredns", {"spec": spec})


def _proxy(node: Node) -> Document:
    """One capability instead of all, no file of the host, and a group of its own; of root only the user is left.

    A program without root's number keeps capabilities only by its file, or by the ambient set that Kubernetes does not
    have; so does `nft`, which it calls. The digest of its configuration, which it reads at its start, is beside it:
    with another one it is made anew.
    """
    context = {k: v for k, v in accounts.pod_context(accounts.PROXY).items() if k != "runAsNonRoot"} | {"runAsUser": 0}
    container = {
        "name": "kube-proxy",
        "securityContext": {"privileged": False, **accounts.container_context("NET_ADMIN")},
        "volumeMounts": [{"mountPath": path, "$patch": "delete"} for path in ("/run/xtables.lock", "/lib/modules")],
    }
    volumes = [{"name": name, "$patch": "delete"} for name in ("xtables-lock", "lib-modules")]
    digest = hashlib.sha256(json.dumps(kube_proxy_configuration(node), sort_keys=True).encode()).hexdigest()[:16]
    template = {
        "metadata": {"annotations": {"bmk.dev/configuration": digest}},
        "spec": {"securityContext": context, "containers": [container], "volumes": volumes},
    }
    return _workload("DaemonSet", "kube-proxy", template)


def _workload(kind: str, name: str, template: Document) -> Document:
    metadata = {"name": name, "namespace": "kube-system"}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": {"template": template}}


def _dns_patience(profile: ClusterTiming) -> Document:
    """CoreDNS has no more to lose than the static pods: upstream takes it for dead after 5 s without an answer."""
    return _workload("Deployment", "coredns", {"spec": {"containers": [_probes("coredns", profile)]}})


def _probes(name: str, profile: ClusterTiming) -> Document:
    return {"name": name, **{p: body for p, body in profile.probes.items() if p not in _LACKING.get(name, ())}}


def dns_address(services: str) -> str:
    """CoreDNS's address: the tenth of the service range."""
    return str(IPv4Network(services)[10])
