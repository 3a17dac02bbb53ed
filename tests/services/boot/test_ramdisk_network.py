"""How the install ramdisk gets its address on a machine with two NICs: its own script with real busybox and dnsmasq."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.services.boot.conftest import Boot, Room

pytestmark = pytest.mark.services
SCRIPTS = Path(__file__).resolve().parents[3] / "bmk" / "artifacts" / "node" / "ramdisk"
BOOTING, OTHER = "52:54:00:20:00:11", "02:00:00:00:00:aa"
# What init does around it, on the NICs of a room: all of them, since none has a device behind it.
INIT = """\
set -u
mount -t sysfs sysfs /sys; mount -t tmpfs tmpfs /run
. {scripts}/network
nics() {{ ls /sys/class/net | grep -v lo; }}
say() {{ echo "said: $*"; }}
COMMAND_LINE={room}/cmdline CONFIGURE={room}/configure
ask_for_address; echo "ended: $?"
for nic in $(nics); do echo "$nic: $(ip -4 -o addr show dev $nic | awk '{{print $4}}')"; done
ip -4 route
for file in /run/udhcpc.*; do [ -e "$file" ] && kill $(cat "$file"); done; true
"""
CONFIGURE = '#!/bin/sh\nmount -t tmpfs tmpfs /etc 2>/dev/null\nexec busybox sh {scripts}/udhcpc "$@"\n'


@pytest.fixture
def machine(boot: Boot) -> Room:
    """A machine whose first NIC is on a network with a DHCP server, and its second on that of the boot server."""
    boot.start()
    made, elsewhere = boot.machine(BOOTING), Room(within=boot.room)
    boot.machines.append(elsewhere)
    made.run("ip", "link", "set", "eth0", "down")
    made.run("ip", "link", "set", "eth0", "name", "eth1")
    made.run("ip", "link", "add", "eth0", "address", OTHER, "type", "veth", "peer", "name", "wire")
    made.run("ip", "link", "set", "wire", "netns", str(elsewhere.pid))
    elsewhere.run("ip", "addr", "add", "10.77.0.1/24", "dev", "wire")
    elsewhere.run("ip", "link", "set", "wire", "up")
    serve = ("dnsmasq", "-d", "--port=0", "--dhcp-range=10.77.0.10,10.77.0.20,1h", "--dhcp-option=3,10.77.0.1")
    elsewhere.start(*serve, "--dhcp-leasefile=/dev/null", "--no-ping", log=boot.state / "elsewhere.log")
    return made


def ends(boot: Boot, machine: Room, command_line: str) -> str:
    """All that is said by a ramdisk with this command line, and what it ends with."""
    (boot.state / "cmdline").write_text(command_line + "\n")
    (boot.state / "configure").write_text(CONFIGURE.format(scripts=SCRIPTS))
    (boot.state / "configure").chmod(0o755)
    return machine.run("busybox", "sh", "-c", INIT.format(scripts=SCRIPTS, room=boot.state))


def test_the_nic_that_booted_is_asked_first(boot: Boot, machine: Room) -> None:
    """Whatever the kernel calls it: the other one is not even asked."""
    said = ends(boot, machine, f"quiet bmk.url={boot.url} BOOTIF=01-{BOOTING.replace(':', '-').upper()} console=tty0")
    assert "ended: 0" in said
    assert "eth1: 10.20.0.11/16" in said
    assert "eth0: \n" in said
    assert "default via 10.20.0.1 dev eth1" in said
    assert "said:" not in said


def test_a_network_without_the_deployer_is_left_again(boot: Boot, machine: Room) -> None:
    """Without a word about the NIC that booted: an address is not enough, and what it brought goes with it."""
    said = ends(boot, machine, f"bmk.url={boot.url} bmk.grant=g")
    assert f"said: no answer of the deployer, {boot.url}, by way of eth0 ({OTHER})" in said
    assert "ended: 0" in said
    assert "eth0: \n" in said
    assert "eth1: 10.20.0.11/16" in said
    assert "10.77." not in said


def test_each_nic_without_an_answer_is_named(boot: Boot, machine: Room) -> None:
    """With the deployer gone no NIC keeps an address, each is named, and init begins again."""
    boot.running["nginx"].terminate()
    boot.running["nginx"].wait()
    said = ends(boot, machine, f"bmk.url={boot.url} BOOTIF=01-{BOOTING.replace(':', '-')}")
    assert said.index("by way of eth1") < said.index("by way of eth0")
    assert "ended: 1" in said
    assert "10.77." not in said
    assert "10.20.0.11" not in said
