"""What kubeadm makes for etcd."""

from bmk.certificates.kind import CertificateKind

_PKI = "/etc/kubernetes/pki/etcd"

ETCD_SERVER = CertificateKind(
    name="etcd-server",
    title="what etcd shows to clients",
    path=f"{_PKI}/server.crt",
    key=f"{_PKI}/server.key",
    port=2379,
    program="etcd",
    signer="etcd-ca",
    renewal="kubeadm",
)
ETCD_PEER = CertificateKind(
    name="etcd-peer",
    title="what etcd shows to its other members",
    path=f"{_PKI}/peer.crt",
    key=f"{_PKI}/peer.key",
    port=2380,
    program="etcd",
    signer="etcd-ca",
    renewal="kubeadm",
)
ETCD_HEALTH = CertificateKind(
    name="etcd-healthcheck-client",
    title="who asks etcd whether it is well",
    path=f"{_PKI}/healthcheck-client.crt",
    key=f"{_PKI}/healthcheck-client.key",
    signer="etcd-ca",
    renewal="kubeadm",
)
