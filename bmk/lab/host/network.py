"""The lab's network, inside the lab's own network namespace: bridges, taps, veths, and the addresses of BMCs.

`plan()` is pure and gives lines for `ip -batch`; `apply()` runs them. Names never reach the host: the namespace dies
with the lab.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address

from bmk.datacenter.resolve import DataCenter
from bmk.errors import PreflightRefused
from bmk.lab.machines.hardware import Port, bridges


def plan(dc: DataCenter) -> list[str]:
    """`ip` commands for loopback, bridges, the deployer's address, gateways and the BMC networks."""
    lines = ["link set lo up"]
    for network, bridge in bridges(dc).items():
        spec = dc.spec.networks[network]
        lines.append(f"link add {bridge} mtu {spec.mtu} type bridge stp_state 0 mcast_snooping 0")
        for address in own_addresses(dc, network):
            lines.append(f"address add {address}/{spec.cidr.prefixlen} dev {bridge}")
        lines.append(f"link set {bridge} up")
    # AnyIP: every BMC answers at its own address, and sees the deployer come from the deployer's.
    lines += [f"route add local {cidr} dev lo{_from_deployer(dc)}" for cidr in bmc_networks(dc)]
    return lines


def _from_deployer(dc: DataCenter) -> str:
    here = any(dc.spec.deployer.address in own_addresses(dc, network) for network in bridges(dc))
    return f" src {dc.spec.deployer.address}" if here else ""


def own(addresses: Iterable[str]) -> list[str]:
    """Addresses of simulated machines are the lab's own: `SshListener` answers there."""
    return [f"route replace local {address}/32 dev lo" for address in addresses]


def own_addresses(dc: DataCenter, network: str) -> list[IPv4Address]:
    """The deployer, and the gateway that nodes route by, unless a host of the file is that gateway."""
    spec, deployer = dc.spec.networks[network], dc.spec.deployer.address
    own = [deployer] if deployer in spec.cidr else []
    taken = {deployer, *(h.address for h in dc.hosts.values())}
    if spec.gateway is not None and spec.gateway not in taken:
        own.append(spec.gateway)
    return own


def bmc_networks(dc: DataCenter) -> list[str]:
    """Networks of the file that hold a BMC and no node; a BMC among the nodes gets a route of its own (/32)."""
    found: dict[str, None] = {}
    node_networks = set(bridges(dc))
    for host in dc.hosts.values():
        inside = [n for n, s in dc.spec.networks.items() if host.bmc_address in s.cidr and n not in node_networks]
        found[str(dc.spec.networks[inside[0]].cidr) if inside else f"{host.bmc_address}/32"] = None
    return list(found)


def tap_lines(port: Port, *, up: bool = True) -> list[str]:
    """A tap for a virtual machine. QEMU finds it by name."""
    return [
        f"tuntap add {port.tap} mode tap",
        f"link set {port.tap} mtu {port.mtu} master {port.bridge} {'up' if up else 'down'}",
    ]


def veth_lines(port: Port, number: int, netns: int, *, up: bool = True) -> list[str]:
    """A cable between the bridge and `lan<number>`, as installers call NICs, in the namespace of process `netns`."""
    return [
        f"link add {port.tap} mtu {port.mtu} type veth peer name lan{number} "
        f"address {port.mac} mtu {port.mtu} netns {netns}",
        f"link set {port.tap} master {port.bridge} {'up' if up else 'down'}",
    ]


async def apply(lines: Iterable[str]) -> None:
    """Run `ip -batch` in this process's network namespace."""
    process = await asyncio.create_subprocess_exec(
        "ip", "-batch", "-", stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, err = await process.communicate("\n".join(lines).encode() + b"\n")
    if process.returncode != 0:
        raise PreflightRefused(
            "the lab's network could not be made", why=err.decode().strip(), hint="bmk lab down DC, then: bmk lab up DC"
        )


async def until_ours(address: IPv4Address, require: Callable[[], None]) -> None:
    """Wait until another process has set this address on a bridge; servers that bind to it earlier would end. `require`
    raises when that process failed. Without a time limit of its own: the caller of `lab up` has one.
    """
    while not _is_ours(address):
        require()
        await asyncio.sleep(0.05)


def _is_ours(address: IPv4Address) -> bool:
    with socket.socket(type=socket.SOCK_DGRAM) as tried:
        try:
            tried.bind((str(address), 0))
        except OSError:
            return False
    return True


async def unplug(port: Port) -> None:
    """Remove a port's cable, if there is one: the kernel deletes that of a container some time after its end."""
    process = await asyncio.create_subprocess_exec("ip", "link", "delete", port.tap, stderr=asyncio.subprocess.DEVNULL)
    await process.wait()


async def set_link(port: Port, up: bool) -> None:
    """Pull or plug the cable of a port, if it is there."""
    process = await asyncio.create_subprocess_exec(
        "ip", "link", "set", port.tap, "up" if up else "down", stderr=asyncio.subprocess.DEVNULL
    )
    await process.wait()
