"""What BMCs show, and the authorities that are believed about it."""

from bmk.certificates.kind import CertificateKind

BMC = CertificateKind(
    name="bmc",
    title="what the BMC shows",
    place="bmc",
    port=443,
    next="put a new certificate on the BMC by its own page; with tls: pin: bmk fingerprint {dc} {where}",
)
AUTHORITIES = CertificateKind(
    name="bmc-authorities",
    title="the authorities of BMCs, of this profile",
    place="profile",
    next="name a newer PEM file as authorities of the profile's bmc in dc.yml; then: bmk validate {dc}",
)
