"""What the install ramdisk is told once it claimed a grant, and where the installer's files lie. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bmk.boot.grants import Grant
from bmk.boot.ipxe import IMAGE
from bmk.boot.nginx import INSTALLER
from bmk.datacenter.resolve import Host

Artifacts = Mapping[str, Mapping[str, Any]]  # name -> {url, sha256, version, size}, as in bmk_artifacts


@dataclass(frozen=True, slots=True)
class InstallServer:
    """What the spec says of the boot server: data center, URL, and the public ssh keys that may log in to the host."""

    dc: str
    url: str
    authorized_keys: tuple[str, ...]


def installer_path(artifacts: Artifacts, name: str) -> str | None:
    """Path below the mirror's files/ of what /install/<grant>/<name> serves; None when the mirror has nothing."""
    _, found, path = str(artifacts.get(INSTALLER.get(name, ""), {}).get("url", "")).partition("/files/")
    return path if found and path else None


def install_spec(host: Host, grant: Grant, artifacts: Artifacts, server: InstallServer) -> dict[str, Any]:
    """The answer to a claim: network, disk, image and keys. `size`: bytes of the compressed image, None if unknown."""
    return {
        "host": host.name,
        "hostname": host.name,
        "network": _network(host),
        "disk": {key: value for key, value in grant.disk.items() if value is not None},
        "confirmed": grant.confirmed,
        "image": {
            "url": f"{server.url}/install/{grant.id}/{IMAGE}",
            "sha256": grant.image_sha256,
            "raw_sha256": grant.raw_sha256,
            "size": artifacts.get(grant.image, {}).get("size"),
        },
        "authorized_keys": list(server.authorized_keys),
        "next": "reboot",
        "dc": server.dc,
    }


def _network(host: Host) -> dict[str, Any]:
    network = host.network
    return {
        "address": str(host.address),
        "prefix": network.cidr.prefixlen,
        "gateway": str(network.gateway) if network.gateway else None,
        "dns": [str(server) for server in network.dns],
        "ntp": list(network.ntp),
        "mtu": network.mtu,
        # Names of our own, tied to the permanent MAC: the kernel's and firmware's move between boots and versions.
        "nics": [{"mac": nic.mac, "name": f"lan{number}"} for number, nic in enumerate(host.nics)],
    }
