"""NICs of real rooms, on a virtual machine: one more that leads elsewhere, and one that was replaced."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import break_, done
from tests.lab import Lab, running

pytestmark = pytest.mark.machines
DC = Path(__file__).resolve().parent / "dc.yml"
DISCOVER = Path(__file__).resolve().parents[2] / "services/boot/discover.py"
HOST, ADDRESS, OFFICE = "vm-1", "10.62.0.11", "52:54:00:63:00:11"
BOUGHT, REPLACED = "52:54:00:62:00:11", "5a:54:00:62:00:11"
# Of somebody else, on the other network: it would answer every machine.
DHCP = ("dnsmasq", "-d", "--port=0", "--interface=bmk1", "--bind-interfaces", "--dhcp-authoritative", "--no-ping")
DHCP += ("--dhcp-range=10.63.0.10,10.63.0.20,1h", "--dhcp-leasefile=/dev/null", "--conf-file=/dev/null")


@dataclass(frozen=True)
class Room:
    """`file` may be changed."""

    lab: Lab
    file: Path
    elsewhere: Path

    @property
    def leases(self) -> dict[str, str]:
        """MAC -> address, as the boot server's dnsmasq keeps them."""
        lines = (self.lab.state / self.lab.name / "boot/dnsmasq.leases").read_text().splitlines()
        return {line.split()[1]: line.split()[2] for line in lines}


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """The machine's other NIC is on a network with a DHCP server that knows of no deployer."""
    place = tmp_path_factory.mktemp("nics")
    made = Room(Lab(place, "nics", str(place / "dc.yml")), place / "dc.yml", place / "elsewhere.log")
    made.file.write_text(DC.read_text())
    with running(made.lab.name, made.lab.dc, place, own_cache=True) as lab:
        lab.bmk("lab up")
        with made.elsewhere.open("w") as log, subprocess.Popen(lab.entered(*DHCP), stderr=log) as server:
            yield made
            server.terminate()


def test_the_ramdisk_asks_on_the_nic_that_booted(room: Room) -> None:
    """The kernel finds another one first, which has a link and a DHCP server: nothing is asked there."""
    room.lab.bmk("provision", "--yes")
    assert done(room.lab, HOST)
    assert "DHCPDISCOVER" not in room.elsewhere.read_text()
    look = "cd /sys/class/net; for nic in lan1 lan0; do cat $nic/address $nic/carrier; readlink -f $nic/device; done"
    other, link, first, booted, _, second = room.lab.on(HOST, look).split()
    assert (other, link, booted) == (OFFICE, "1", BOUGHT)
    assert first < second  # places on the bus: the order in which the kernel finds them
    asked = json.dumps({"mac": OFFICE, "nic": "lan1", "seconds": 1})
    room.lab.on(HOST, f"python3 - '{asked}' <<'END'\n{DISCOVER.read_text()}\nEND")
    assert "DHCPOFFER" in room.elsewhere.read_text()  # whoever asks there is answered


def test_a_replaced_nic_is_installed_at_once(room: Room) -> None:
    """The old one's lease of the host's address would last an hour: given back when the file names the new one."""
    assert room.leases[BOUGHT] == ADDRESS
    room.lab.bmk("power off", HOST, "--yes")
    break_(room.lab, "wrong-nic", HOST)
    room.file.write_text(room.file.read_text().replace(BOUGHT, REPLACED))
    room.lab.bmk("reinstall", HOST, "--yes")
    (released,) = room.lab.journal.since(host=HOST, kind="lease.released")
    assert (released.data["mac"], released.data["address"]) == (BOUGHT, ADDRESS)
    assert room.leases[REPLACED] == ADDRESS
    assert room.lab.on(HOST, "cat /sys/class/net/lan0/address").strip() == REPLACED
    room.lab.bmk("plan")
