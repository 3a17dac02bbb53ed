"""What kubelets ask for by themselves, long before the old one ends. Requests are approved by cluster/csr.py."""

from bmk.certificates.kind import CertificateKind

_PKI, _EVERYWHERE = "/var/lib/kubelet/pki", ("control_plane", "worker")
_TENTH = 0.1  # a kubelet asks when between 30 and 10 % of the life are left: a request in time is not late

KUBELET_SERVER = CertificateKind(
    name="kubelet-server",
    title="what the kubelet shows",
    roles=_EVERYWHERE,
    path=f"{_PKI}/kubelet-server-current.pem",
    port=10250,
    program="kubelet",
    signer="ca",
    renewal="kubelet",
    part=_TENTH,
    next="bmk approve {dc} --once; when it asks for none: bmk ssh {dc} {where} systemctl restart kubelet",
)
KUBELET_AS_CLIENT = CertificateKind(
    name="kubelet-client",
    title="the node as a client of the API",
    roles=_EVERYWHERE,
    path=f"{_PKI}/kubelet-client-current.pem",
    signer="ca",
    renewal="kubelet",
    part=_TENTH,
    next="bmk ssh {dc} {where} systemctl restart kubelet; when it has ended: bmk reinstall {dc} {where}",
)
