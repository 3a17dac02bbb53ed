"""dnsmasq's files: DHCP and TFTP for machines that boot. Pure.

Hosts and options lie in files of their own, which SIGHUP makes dnsmasq read again: it is never restarted for a host
(a restart for each host would run into the limits of its supervisor). Watched directories would do without the signal,
but take an inotify instance, and where many containers run there is none left.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address
from pathlib import Path

from bmk.datacenter.model import Network
from bmk.datacenter.resolve import DataCenter, Host

BIOS_LOADER, EFI_LOADER, HTTP_LOADER = "undionly.kpxe", "snponly.efi", "snponly.efi"
LOADER_DIR = Path("/usr/lib/ipxe")  # of Debian's package ipxe
CONFIGURATION, HOSTS, OPTIONS = "dnsmasq.conf", "dnsmasq.hosts", "dnsmasq.options"
LEASE = "1h"

_HEAD = """\
# Written by bmk from {source}; changes here are lost. Hosts and options are read again at SIGHUP.
port=0
bind-dynamic
listen-address={address}
no-hosts
no-resolv
log-dhcp
log-facility={boot}/dnsmasq.log
pid-file=
dhcp-leasefile={boot}/dnsmasq.leases
dhcp-hostsfile={boot}/{hosts}
dhcp-optsfile={boot}/{options}
# Room for a whole hall that is switched on at once.
dhcp-lease-max={leases}
enable-tftp
tftp-root={loaders}
tftp-no-fail

# Who asks: iPXE by its own option or user class, firmware by its architecture (RFC 4578, IANA).
dhcp-match=set:ipxe,175
dhcp-userclass=set:ipxe,iPXE
dhcp-match=set:bios,option:client-arch,0
dhcp-match=set:efi,option:client-arch,7
dhcp-match=set:efi,option:client-arch,9
dhcp-match=set:httpboot,option:client-arch,15
dhcp-match=set:httpboot,option:client-arch,16
"""

_ONLY_SERVER = """
# Clients with a lease of another server are told so at once, instead of after a minute of silence.
dhcp-authoritative
"""

_ONLY_KNOWN = """
# No pool: machines that are not in the data center file hear nothing from this server.
dhcp-ignore=tag:!known
"""

_AUTHORITATIVE = """
# This server hands out addresses here. iPXE goes straight to the boot service, firmware loads iPXE first.
dhcp-boot=tag:{name},tag:ipxe,{url}/boot/ipxe
dhcp-boot=tag:{name},tag:!ipxe,tag:bios,{bios},,{address}
dhcp-boot=tag:{name},tag:!ipxe,tag:efi,{efi},,{address}
dhcp-boot=tag:{name},tag:!ipxe,tag:httpboot,{url}/boot/loader/{http}
# UEFI takes a URL only from a server that calls itself HTTPClient.
dhcp-option-force=tag:{name},tag:!ipxe,tag:httpboot,60,HTTPClient
# iPXE: do not wait for a proxy DHCP server; there is none beside this one.
dhcp-option-force=tag:{name},tag:ipxe,encap:175,176,1b
"""

_PROXY = """
# Another server hands out addresses here; this one only adds what to boot, and only for machines it was told about.
# UEFI HTTP boot needs the authoritative mode.
pxe-service=tag:{name},tag:known,tag:#ipxe,x86PC,"bmk",{bios}
pxe-service=tag:{name},tag:known,tag:#ipxe,X86-64_EFI,"bmk",{efi}
pxe-service=tag:{name},tag:known,tag:#ipxe,BC_EFI,"bmk",{efi}
pxe-service=tag:{name},tag:known,tag:ipxe,x86PC,"bmk",{url}/boot/ipxe
pxe-service=tag:{name},tag:known,tag:ipxe,X86-64_EFI,"bmk",{url}/boot/ipxe
pxe-service=tag:{name},tag:known,tag:ipxe,BC_EFI,"bmk",{url}/boot/ipxe
"""


def base_url(dc: DataCenter) -> str:
    """The boot server's URL as machines see it, without a slash at its end."""
    deployer = dc.spec.deployer
    port = "" if deployer.http_port == 80 else f":{deployer.http_port}"
    return f"http://{deployer.address}{port}"


def render(dc: DataCenter, boot: Path, loaders: Path = LOADER_DIR) -> dict[str, str]:
    """dnsmasq's files by name below `boot`, the directory that leases and log live in too. `loaders`: TFTP's root."""
    return {CONFIGURATION: _configuration(dc, boot, loaders), HOSTS: _hosts(dc), OPTIONS: _options(dc)}


def _configuration(dc: DataCenter, boot: Path, loaders: Path) -> str:
    address = dc.spec.deployer.address
    names = {"bios": BIOS_LOADER, "efi": EFI_LOADER, "http": HTTP_LOADER, "url": base_url(dc), "address": address}
    leases = max(1000, 4 * len(dc.hosts))
    paths = {"boot": boot, "loaders": loaders, "hosts": HOSTS, "options": OPTIONS}
    text = _HEAD.format(source=dc.source.name, address=address, leases=leases, **paths)
    if not all(_is_proxy(network) for _, network in _served(dc)):
        text += _ONLY_SERVER
    if not any(network.dhcp and network.dhcp.pool for _, network in _served(dc)):
        text += _ONLY_KNOWN
    for name, network in _served(dc):
        text += f"\n# Network {name}\n" + "".join(_ranges(name, network))
        text += (_PROXY if _is_proxy(network) else _AUTHORITATIVE).format(name=name, **names)
    return text


def _served(dc: DataCenter) -> list[tuple[str, Network]]:
    return [(name, network) for name, network in sorted(dc.spec.networks.items()) if network.dhcp]


def _is_proxy(network: Network) -> bool:
    return network.dhcp is not None and network.dhcp.mode == "proxy"


def _ranges(name: str, network: Network) -> Iterable[str]:
    dhcp, cidr = network.dhcp, network.cidr
    if dhcp is None:
        return
    yield from (f"shared-network={relay},{cidr.network_address}\n" for relay in dhcp.relays if relay not in cidr)
    if dhcp.relays:
        yield "# Renewals take the relay too: nodes may have no other way to this server.\n"
        yield f"dhcp-proxy={','.join(map(str, dhcp.relays))}\n"
    if _is_proxy(network):
        yield f"dhcp-range=set:{name},{cidr.network_address},proxy,{cidr.netmask}\n"
        return
    yield f"dhcp-range=set:{name},{cidr.network_address},static,{cidr.netmask},{LEASE}\n"
    if dhcp.pool:
        first, last = _ends(dhcp.pool.network_address, dhcp.pool.broadcast_address, network)
        yield f"dhcp-range=set:{name},{first},{last},{cidr.netmask},{LEASE}\n"


def _ends(first: IPv4Address, last: IPv4Address, network: Network) -> tuple[IPv4Address, IPv4Address]:
    """First and last usable address of a pool: not the network's own two."""
    return max(first, network.cidr.network_address + 1), min(last, network.cidr.broadcast_address - 1)


def _hosts(dc: DataCenter) -> str:
    """One line per host: the NIC that boots, its address and name. Proxy networks have addresses from elsewhere."""
    return "".join(_host(host) for host in dc.hosts.values() if host.network.dhcp)


def _host(host: Host) -> str:
    if _is_proxy(host.network):
        return f"{host.mac},{host.name}\n"
    return f"{host.mac},{host.address},{host.name},{LEASE}\n"


def _options(dc: DataCenter) -> str:
    lines: list[str] = []
    for name, network in _served(dc):
        if not _is_proxy(network):
            lines += [f"tag:{name},option:{option}\n" for option in _network_options(network)]
    return "".join(lines)


def _network_options(network: Network) -> Iterable[str]:
    # An empty router option keeps dnsmasq from naming itself as the router.
    yield f"router,{network.gateway}" if network.gateway else "router"
    yield f"dns-server,{','.join(map(str, network.dns))}" if network.dns else "dns-server"
    if network.ntp_addresses:
        yield f"ntp-server,{','.join(network.ntp_addresses)}"
    if network.mtu != 1500:
        yield f"mtu,{network.mtu}"
