"""Which daemons a lab runs: the boot server's, exactly as a real deployment has them, and the emulated BMCs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bmk.artifacts.mirror import load_mirror
from bmk.boot import server
from bmk.datacenter.resolve import DataCenter
from bmk.errors import BmkError
from bmk.lab.host.network import own_addresses
from bmk.lab.machines.hardware import MachineHardware, bridges
from bmk.lab.services import Daemon
from bmk.lab.vagrant.libvirt import has_vagrant
from bmk.paths import cache_dir

TFTP = 69  # dnsmasq serves it whatever networks there are
DEPLOYER_NAME = "deployer.bmk.test"  # what the lab's name server calls the deployer


def services_of(dc: DataCenter, machines: Mapping[str, MachineHardware]) -> list[Daemon]:
    """Everything to start, in order; the files they read are written."""
    return [*_boot_server(dc), *_name_server(dc), *_bmcs(dc, machines)]


def _boot_server(dc: DataCenter) -> Iterator[Daemon]:
    mirror_root = cache_dir() / "mirror"
    for directory in (mirror_root / "files", cache_dir() / "registry"):
        directory.mkdir(parents=True, exist_ok=True)
    for process in server.processes(dc, dc.state, mirror_root, artifacts=served(dc)):
        if process.name == "dnsmasq" and has_vagrant(dc):
            continue  # Vagrant learns addresses from libvirtd's own
        server.write(process.files)
        hears = TFTP if process.name == "dnsmasq" else None
        yield Daemon(process.name, process.argv, process.env, _port_of(process.name, dc), hears)


def _name_server(dc: DataCenter) -> Iterator[Daemon]:
    """A name server on the lab's addresses that the file names as one: it resolves the deployer, nothing else."""
    own = {address for network in bridges(dc) for address in own_addresses(dc, network)}
    asked = sorted(own & {server for network in bridges(dc) for server in dc.spec.networks[network].dns})
    if asked and not has_vagrant(dc):  # libvirtd's own answers there
        options = ["--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces"]
        known = f"--host-record={DEPLOYER_NAME},{dc.spec.deployer.address}"
        command = ("dnsmasq", *options, "--local=/#/", known, *(f"--listen-address={address}" for address in asked))
        yield Daemon("names", command, answers=(str(asked[0]), 53))


def _port_of(name: str, dc: DataCenter) -> tuple[str, int] | None:
    """Where a process of the boot server answers by TCP; None: it does not (DHCP, TFTP)."""
    deployer = dc.spec.deployer
    ports = {"nginx": deployer.http_port, "registry": deployer.registry_port}
    if name == "boot-service":
        host, _, port = server.LISTEN.partition(":")
        return host, int(port)
    return (str(deployer.address), ports[name]) if name in ports else None


def served(dc: DataCenter) -> dict[str, Any]:
    """`bmk_artifacts` of what is in the mirror now; nothing when there is no mirror yet."""
    try:
        return dict(load_mirror().as_vars(dc.spec.deployer)[0])
    except BmkError:
        return {}  # the plan names what is missing; machines boot their disks until then


def images() -> list[Path]:
    """What installers write, as files of the mirror."""
    try:
        files = load_mirror().files
    except BmkError:
        return []
    return [files[name].local for name in ("node-image", "node-rootfs") if name in files]


def _bmcs(dc: DataCenter, machines: Mapping[str, MachineHardware]) -> Iterator[Daemon]:
    plates = [m.bmc for m in machines.values()]
    first = next((p for p in plates if p.kind == "redfish"), None)
    if first is not None:
        command = (sys.executable, "-m", "bmk.lab.bmc.redfish", "--dc", dc.name, "--directory", str(dc.source.parent))
        yield Daemon("redfish", command, answers=(first.address, first.port))
    ipmi = next((p for p in plates if p.kind == "ipmi"), None)
    if ipmi is not None:
        command = (sys.executable, "-m", "bmk.lab.bmc.ipmi", "--dc", dc.name, "--directory", str(dc.source.parent))
        yield Daemon("ipmi", command, hears=ipmi.port)
