"""What bmk itself holds or shows. Those that it makes end in the year 9999: who pins one takes another instead."""

from bmk.certificates.kind import CertificateKind

KUBECONFIG = CertificateKind(
    name="kubeconfig",
    title="the deployer as administrator of the cluster",
    place="cluster",
    path="{state}/kubeconfig/{cluster}",
    signer="ca",
    renewal="bmk",
    optional=True,
)
METRICS = CertificateKind(
    name="metrics-server",
    title="what metrics-server shows to API servers",
    place="cluster",
    path="{state}/metrics/{cluster}.pem",
    next="remove the file; then: bmk provision {dc}",
    optional=True,
)
REGISTRY = CertificateKind(
    name="registry",
    title="what the registry shows to hosts",
    place="deployer",
    path="{state}/boot/registry.crt",
    program="docker-registry",
    next="restart the registry of the boot server; then: bmk provision {dc}",
    optional=True,
)
