"""The kinds of certificates, one value each."""

from bmk.certificates.kind import CertificateKind, discover

KINDS: tuple[CertificateKind, ...] = discover(__name__, __path__)
BY_NAME = {kind.name: kind for kind in KINDS}
