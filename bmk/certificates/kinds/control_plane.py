"""What kubeadm makes for the API server, the controller manager, the scheduler and administrators."""

from bmk.certificates.kind import CertificateKind

_PKI = "/etc/kubernetes/pki"

API_SERVER = CertificateKind(
    name="apiserver",
    title="what the API server shows",
    path=f"{_PKI}/apiserver.crt",
    key=f"{_PKI}/apiserver.key",
    port=6443,
    program="kube-apiserver",
    signer="ca",
    renewal="kubeadm",
)
KUBELET_CLIENT = CertificateKind(
    name="apiserver-kubelet-client",
    title="API server as a client of kubelets",
    path=f"{_PKI}/apiserver-kubelet-client.crt",
    key=f"{_PKI}/apiserver-kubelet-client.key",
    program="kube-apiserver",
    signer="ca",
    renewal="kubeadm",
)
ETCD_CLIENT = CertificateKind(
    name="apiserver-etcd-client",
    title="API server as a client of etcd",
    path=f"{_PKI}/apiserver-etcd-client.crt",
    key=f"{_PKI}/apiserver-etcd-client.key",
    program="kube-apiserver",
    signer="etcd-ca",
    renewal="kubeadm",
)
FRONT_PROXY = CertificateKind(
    name="front-proxy-client",
    title="API server as a client of aggregated APIs",
    path=f"{_PKI}/front-proxy-client.crt",
    key=f"{_PKI}/front-proxy-client.key",
    program="kube-apiserver",
    signer="front-proxy-ca",
    renewal="kubeadm",
)
CONTROLLER_MANAGER = CertificateKind(
    name="controller-manager.conf",
    title="controller manager as a client of the API",
    path="/etc/kubernetes/controller-manager.conf",
    program="kube-controller-manager",
    signer="ca",
    renewal="kubeadm",
)
SCHEDULER = CertificateKind(
    name="scheduler.conf",
    title="scheduler as a client of the API",
    path="/etc/kubernetes/scheduler.conf",
    program="kube-scheduler",
    signer="ca",
    renewal="kubeadm",
)
ADMIN = CertificateKind(
    name="admin.conf",
    title="administrator on this host",
    path="/etc/kubernetes/admin.conf",
    signer="ca",
    renewal="kubeadm",
)
SUPER_ADMIN = CertificateKind(
    name="super-admin.conf",
    title="administrator beyond RBAC",
    path="/etc/kubernetes/super-admin.conf",
    signer="ca",
    renewal="kubeadm",
    optional=True,  # only where the cluster began
)
