"""Real dnsmasq, real DHCP clients: what firmware of each kind is told, and what the journal says about it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bmk.boot import server
from bmk.boot.ipxe import discover
from bmk.datacenter.resolve import DataCenter
from tests.services.boot.conftest import Boot, Room, until

pytestmark = pytest.mark.services

DISCOVER = Path(__file__).parent / "discover.py"
PXE = b"PXEClient:Arch:00000:UNDI:002001".hex()
HTTP = b"HTTPClient:Arch:00016:UNDI:003001".hex()
IPXE = {"77": b"iPXE".hex(), "175": "b105018086100e"}
CP1 = "52:54:00:20:00:11"


def ask(machine: Room, mac: str, **more: Any) -> dict[str, Any] | None:
    said: dict[str, Any] | None = json.loads(
        machine.run(sys.executable, str(DISCOVER), json.dumps({"mac": mac, **more}))
    )
    return said


def named(offer: dict[str, Any]) -> str:
    """The boot file: in option 67 for clients that ask for it, else in the header's field."""
    return bytes.fromhex(offer["options"].get("67", "")).rstrip(b"\0").decode() or str(offer["file"])


def loader(machine: Room, mac: str, options: dict[str, str], offer: dict[str, Any]) -> str:
    """What a PXE client is told on port 4011, where a proxy server's offer sends it, for the only entry of the menu."""
    # UEFI gets no menu: it asks for the boot file right away.
    menu = suboptions(bytes.fromhex(offer["options"].get("43", ""))).get(9)
    item = {"43": (b"\x47\x04" + menu[:2] + b"\0\0\xff").hex()} if menu else {}
    chosen = {**options, **item}
    answer = ask(machine, mac, options=chosen, kind=3, to="10.30.0.2", port=4011, ciaddr="10.30.0.11")
    assert answer is not None
    return named(answer)


def suboptions(raw: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at < len(raw) and raw[at] != 255:
        found[raw[at]] = raw[at + 2 : at + 2 + raw[at + 1]]
        at += 2 + raw[at + 1]
    return found


def firmware(arch: int, vendor: str = PXE) -> dict[str, str]:
    return {"60": vendor, "93": f"{arch:04x}", "94": "010201", "55": "0103060c0f2b3c42439748"}


@pytest.mark.parametrize(
    ("arch", "vendor", "file"),
    [
        (0, PXE, "undionly.kpxe"),
        (7, PXE, "snponly.efi"),
        (9, PXE, "snponly.efi"),
        (16, HTTP, "http://10.20.0.2:8080/boot/loader/snponly.efi"),
    ],
)
def test_firmware_is_told_its_loader(boot: Boot, arch: int, vendor: str, file: str) -> None:
    """BIOS, UEFI and UEFI HTTP boot each get the first stage they can run, and the host's own address."""
    boot.start()
    offer = ask(boot.machine(CP1), CP1, options=firmware(arch, vendor))
    assert offer is not None
    assert (offer["yiaddr"], named(offer)) == ("10.20.0.11", file)
    if vendor == HTTP:
        assert bytes.fromhex(offer["options"]["60"]) == b"HTTPClient"
    else:
        assert offer["siaddr"] == "10.20.0.2"


@pytest.mark.parametrize("option", ["77", "175"])
def test_ipxe_goes_straight_to_the_boot_service(boot: Boot, option: str) -> None:
    """iPXE is known by its user class or its option 175, and is told not to wait for a proxy."""
    boot.start()
    offer = ask(boot.machine(CP1), CP1, options={**firmware(0), option: IPXE[option]})
    assert offer is not None
    assert named(offer) == f"{boot.url}/boot/ipxe"
    assert "b00101" in offer["options"]["175"]


def test_a_real_client_gets_its_lease_and_the_journal_tells(boot: Boot) -> None:
    """udhcpc leases the host's address, with gateway, name servers, time server and MTU; every step is an event."""
    boot.start()
    machine = boot.machine(CP1)
    show = boot.state / "show.sh"
    show.write_text("#!/bin/sh\nenv\n")
    show.chmod(0o755)
    argv = ["busybox", "udhcpc", "-f", "-q", "-n", "-i", "eth0", "-s", str(show), "-O", "mtu", "-O", "ntpsrv"]
    lines = machine.run(*argv).splitlines()
    lease = dict(line.split("=", 1) for line in lines if "=" in line)
    assert lease["ip"] == "10.20.0.11"
    assert (lease["router"], lease["dns"]) == ("10.20.0.1", "10.20.0.3 10.20.0.4")
    assert (lease["ntpsrv"], lease["mtu"]) == ("10.20.0.5", "9000")
    until(lambda: boot.journal.since(host="cp-1", kind="dhcp.ack"), "the lease is in the journal")
    assert boot.journal.since(host="cp-1", kind="dhcp.discover")


def test_unknown_machines_get_pool_addresses(boot: Boot) -> None:
    """A machine that is in no file gets an address of the pool, so that it can be told to boot its disk."""
    boot.start()
    offer = ask(boot.machine("02:00:00:00:00:99"), "02:00:00:00:00:99", options=firmware(0))
    assert offer is not None
    assert offer["yiaddr"].startswith("10.20.250.")
    until(lambda: [e for e in boot.journal.since(kind="dhcp.discover") if e.host is None], "the stranger is journaled")


def test_hosts_come_and_go_without_a_restart(boot: Boot) -> None:
    """A host that is added or removed is known at once, by SIGHUP; dnsmasq stays the same process."""
    dc, mac = boot.dc, "52:54:00:20:00:21"
    boot.dc = _without(dc, "worker-1")
    boot.start()
    machine = boot.machine(mac)
    before = ask(machine, mac)
    assert before is not None
    assert before["yiaddr"].startswith("10.20.250.")
    assert server.write_hosts(dc, boot.state)
    until(lambda: (ask(machine, mac) or {}).get("yiaddr") == "10.20.0.21", "the added host has its address")
    assert server.write_hosts(boot.dc, boot.state)
    until(lambda: (ask(machine, mac) or {}).get("yiaddr", "").startswith("10.20.250."), "the host became a stranger")
    assert not server.write_hosts(boot.dc, boot.state)
    assert boot.running["dnsmasq"].poll() is None


def _without(dc: DataCenter, name: str) -> DataCenter:
    return replace(dc, hosts={n: h for n, h in dc.hosts.items() if n != name})


def test_a_relayed_request_is_answered_to_the_relay(boot: Boot) -> None:
    """A relay whose own address is in another network gets the host's address for its rack."""
    boot.start()
    relay = boot.machine("02:00:00:00:00:01")
    relay.run("ip", "addr", "add", "10.99.0.1/24", "dev", "eth0")
    relay.run("ip", "route", "add", "10.20.0.2/32", "dev", "eth0")
    boot.room.run("ip", "route", "add", "10.99.0.0/24", "dev", "bmk0")
    offer = ask(relay, CP1, options=firmware(0), giaddr="10.99.0.1", to="10.20.0.2")
    assert offer is not None
    assert (offer["yiaddr"], named(offer)) == ("10.20.0.11", "undionly.kpxe")


@pytest.mark.parametrize("loader", ["undionly.kpxe", "snponly.efi", "ipxe.efi"])
def test_loaders_come_by_tftp_and_http(boot: Boot, loader: str) -> None:
    """The first stage arrives whole by TFTP (PXE) and by HTTP (UEFI HTTP boot)."""
    boot.start()
    _, machine = boot.host("cp-1")
    got = boot.state / "got"
    original = (Path("/usr/lib/ipxe") / loader).read_bytes()
    for url in (f"tftp://{boot.address}/{loader}", f"{boot.url}/boot/loader/{loader}"):
        machine.run("curl", "-sf", "-o", str(got), url)
        assert got.read_bytes() == original


def test_beside_another_dhcp_server_only_boot_information_is_added(office_boot: Boot) -> None:
    """Proxy mode: no address, the loader or the script for machines of the file, and not a word to all others."""
    boot = office_boot
    boot.start()
    mac = "52:54:00:30:00:11"
    machine = boot.machine(mac)
    machine.run("ip", "addr", "add", "10.30.0.11/24", "dev", "eth0")
    for arch, options, file in (
        (0, {}, "undionly.kpxe"),
        (7, {}, "snponly.efi"),
        (0, IPXE, f"{boot.url}/boot/ipxe"),
        (7, IPXE, f"{boot.url}/boot/ipxe"),
    ):
        offer = ask(machine, mac, options={**firmware(arch), **options})
        assert offer is not None
        assert (offer["yiaddr"], offer["options"]["60"]) == ("0.0.0.0", b"PXEClient".hex())
        assert loader(machine, mac, {**firmware(arch), **options}, offer) == file
    assert ask(machine, "02:00:00:00:00:99", options=firmware(0), seconds=2) is None
    assert ask(machine, mac, seconds=2) is None  # an operating system that renews its lease


def test_dnsmasq_and_nginx_run_as_mapped_root(mapped_boot: Boot) -> None:
    """The lab needs no root: the same processes work in a user namespace where root is nobody outside."""
    mapped_boot.start()
    machine = mapped_boot.machine(CP1)
    offer = ask(machine, CP1, options=firmware(7))
    assert offer is not None
    assert named(offer) == "snponly.efi"
    machine.run("ip", "addr", "add", "10.20.0.11/16", "dev", "eth0")
    assert machine.run("curl", "-sf", f"{mapped_boot.url}/boot/ipxe") == discover(mapped_boot.url)
