"""Installs a system container in a second, without the boot service: for tests of the phases after the installation.

It writes the files that the install agent would write. Containers only: virtual machines write their own disks.
"""

from __future__ import annotations

from pathlib import Path

from bmk.agent.configure import host_files, make_keys, write_files
from bmk.agent.model import HostNetwork, HostNic, ImageSource, InstallSpec
from bmk.datacenter.credentials import login_line, login_sources
from bmk.datacenter.resolve import DataCenter, Host
from bmk.lab.host.rootfs import base_root
from bmk.lab.machines.container_hardware import make_bootable
from bmk.ssh import deployer_key


def preseed(host: Host, dc: DataCenter, disk: Path) -> list[str]:
    """Write the installed state of `host` onto `disk` and return its public host keys as openssh lines."""
    public = deployer_key(dc.state).with_suffix(".pub").read_text().strip()
    key = login_line(public, login_sources(dc, host))
    spec = InstallSpec(host.name, host.name, _network(host), {}, None, ImageSource("", ""), (key,))
    upper = disk / "upper"
    write_files(upper, host_files(spec, match="MACAddress"))
    keys = make_keys(upper, host.name, ["ssh-keygen"], str(upper))
    make_bootable(disk, base_root())
    return keys


def _network(host: Host) -> HostNetwork:
    spec = host.network
    return HostNetwork(
        address=str(host.address),
        prefix=spec.cidr.prefixlen,
        gateway=str(spec.gateway) if spec.gateway else None,
        dns=tuple(str(server) for server in spec.dns),
        ntp=spec.ntp,
        mtu=spec.mtu,
        nics=tuple(HostNic(nic.mac, f"lan{number}") for number, nic in enumerate(host.nics)),
    )
