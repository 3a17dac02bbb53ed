"""A libvirtd of the lab's own."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from bmk.datacenter.load import load_datacenter
from bmk.lab.libvirt import files
from bmk.paths import content_dir

DC = load_datacenter(str(content_dir() / "molecule/dc.yml"))


def test_hosts_have_the_addresses_of_the_file() -> None:
    """libvirt's DHCP gives each MAC the address that dc.yml says, and never one of its pool."""
    network = ElementTree.fromstring(files(DC, Path("/disks"))["etc/qemu/networks/bmk.xml"])
    given = {host.get("mac"): host.get("ip") for host in network.iter("host")}
    assert given == {host.nics[0].mac: str(host.address) for host in DC.hosts.values()}
