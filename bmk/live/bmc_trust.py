"""Whose TLS certificate is believed to be that of a host's BMC: as dc.yml says, and for the lab its own authority."""

from __future__ import annotations

from bmk.bmc import Trust
from bmk.datacenter.resolve import DataCenter, Host
from bmk.document import inside
from bmk.errors import ConfigError
from bmk.lab.bmc.certificate import authority


def bmc_trust(dc: DataCenter, host: Host) -> Trust:
    """Raises ConfigError for a host that should be pinned and is not: nothing is believed at first sight."""
    plate = host.profile.bmc
    if plate.kind == "redfish" and plate.tls == "pin":
        if host.bmc_fingerprint is None:
            raise ConfigError(
                "no certificate is pinned for this BMC",
                where=f"{host.name} (BMC {host.bmc_address})",
                hint=f"bmk fingerprint {dc.name} {host.name}; compare what it shows with the BMC's own page, then "
                "write it as bmc.fingerprint of the host",
            )
        return Trust(fingerprint=host.bmc_fingerprint)
    if plate.authorities is not None:
        return Trust(authorities=inside(dc.source.parent, plate.authorities))
    return Trust(authorities=authority(dc.state) if host.profile.lab is not None else None)
