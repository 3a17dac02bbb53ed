"""Authorities of a cluster, which kubeadm makes for ten years. Nothing renews them by itself."""

from bmk.certificates.kind import DAY, CertificateKind

_NEXT = (
    "plan the rotation of this authority: everything that it signed ends with it; kubeadm's documentation has the steps"
)

CA = CertificateKind(
    name="ca",
    title="authority of the cluster",
    roles=("control_plane", "worker"),
    path="/etc/kubernetes/pki/ca.crt",
    ahead=180 * DAY,
    next=_NEXT,
)
ETCD_CA = CertificateKind(
    name="etcd-ca", title="authority of etcd", path="/etc/kubernetes/pki/etcd/ca.crt", ahead=180 * DAY, next=_NEXT
)
FRONT_PROXY_CA = CertificateKind(
    name="front-proxy-ca",
    title="authority of aggregated APIs",
    path="/etc/kubernetes/pki/front-proxy-ca.crt",
    ahead=180 * DAY,
    next=_NEXT,
)
