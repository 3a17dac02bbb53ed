"""Real dnsmasq, real boot service, real DHCP clients: a NIC that was replaced, and NICs that nothing is given to."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import DataCenter
from bmk.journal.causes import likely_cause
from tests.services.boot.conftest import HALL, Boot, Room, _boot, until

pytestmark = pytest.mark.services
DISCOVER = Path(__file__).parent / "discover.py"
OLD, NEW, SECOND, STRANGER = "52:54:00:20:00:11", "52:54:00:20:00:99", "52:54:00:20:01:11", "02:00:00:00:00:77"
ADDRESS = "10.20.0.11"


@pytest.fixture
def hall(tmp_path: Path) -> Path:
    """A data center file that a test may change."""
    return Path(shutil.copytree(HALL, tmp_path / "hall"))


@pytest.fixture
def own_boot(hall: Path, tmp_path: Path) -> Iterator[Boot]:
    """The boot server of that file."""
    state = tmp_path / "state"
    state.mkdir()
    yield from _boot(hall, state, ("-n", "-m"))


def rewritten(hall: Path, change: Callable[[str], str]) -> None:
    file = hall / "dc.yml"
    file.write_text(change(file.read_text()))


def leased(machine: Room, state: Path) -> str:
    """The address that a real client leases; "" for none. dnsmasq first looks for 3 s whether it is free."""
    show = state / "show.sh"
    show.write_text('#!/bin/sh\n[ "$1" = bound ] && echo "ip=$ip"\nexit 0\n')
    show.chmod(0o755)
    argv = ("busybox", "udhcpc", "-f", "-q", "-n", "-t", "4", "-T", "4", "-i", "eth0", "-s", str(show))
    return machine.run(*argv, check=False).partition("ip=")[2].partition("\n")[0]


def asks(machine: Room, mac: str) -> dict[str, Any] | None:
    """An offer to one DHCPDISCOVER."""
    said: dict[str, Any] | None = json.loads(
        machine.run(sys.executable, str(DISCOVER), json.dumps({"mac": mac, "seconds": 2}))
    )
    return said


def told(boot: Boot, kind: str, host: str | None = "cp-1") -> Any:
    return until(lambda: boot.journal.since(host=host, kind=kind), f"{kind} in the journal")


def test_a_replaced_nic_has_the_hosts_address_at_once(own_boot: Boot, hall: Path) -> None:
    """The lease of the NIC that left the file is given back when the file is read again; the journal says so."""
    own_boot.start()
    assert leased(own_boot.machine(OLD), own_boot.state) == ADDRESS
    machine = own_boot.machine(NEW)
    rewritten(hall, lambda text: text.replace(OLD, NEW))
    (event,) = told(own_boot, "lease.released")
    assert (event.data["mac"], event.data["address"]) == (OLD, ADDRESS)
    until(lambda: leased(machine, own_boot.state) == ADDRESS, "the new NIC has the host's address")
    assert own_boot.running["dnsmasq"].poll() is None


def test_a_replaced_nic_behind_a_relay_too(own_boot: Boot, hall: Path) -> None:
    """A rack whose network the boot server is not on: its leases are given back by way of its relay."""
    rewritten(
        hall, lambda text: text.replace("    bmc:", _FAR + "    bmc:", 1).replace("    r2:", _FAR_HOST + "    r2:")
    )
    own_boot.dc = _loaded(hall)
    own_boot.start()
    relay = own_boot.machine("02:00:00:00:00:01")
    relay.run("ip", "addr", "add", "10.20.0.250/16", "dev", "eth0")
    relay.run("ip", "addr", "add", "10.40.0.1/24", "dev", "lo")
    own_boot.room.run("ip", "route", "add", "10.40.0.0/24", "via", "10.20.0.250")
    old, new = "52:54:00:40:00:11", "52:54:00:40:00:99"
    assert _through(relay, old) == "10.40.0.11"
    rewritten(hall, lambda text: text.replace(old, new))
    told(own_boot, "lease.released", "far-1")
    until(lambda: _through(relay, new) == "10.40.0.11", "the new NIC has the host's address")


_FAR = "    far: {cidr: 10.40.0.0/24, gateway: 10.40.0.1, dns: [10.20.0.3], dhcp: {relays: [10.40.0.1]}}\n"
_FAR_HOST = """\
    r9:
      networks: [far]
      hosts:
        - name: far-1
          profile: server
          serial: SN-0901
          nics: [{mac: "52:54:00:40:00:11", network: far}]
          address: 10.40.0.11
          bmc: {address: 10.21.9.11}
          disk: {serial: DISK-0901}
"""


def _loaded(hall: Path) -> DataCenter:
    return load_datacenter(str(hall))


def _through(relay: Room, mac: str) -> str:
    """What a NIC behind the relay leases: DISCOVER and REQUEST, as the relay passes them on."""
    asked = {"mac": mac, "giaddr": "10.40.0.1", "to": "10.20.0.2"}
    offer = json.loads(relay.run(sys.executable, str(DISCOVER), json.dumps({**asked, "seconds": 2})))
    if offer is None:
        return ""
    octets = bytes(int(part) for part in offer["yiaddr"].split(".")).hex()
    wish = {"50": octets, "54": offer["options"]["54"]}
    answer = json.loads(relay.run(sys.executable, str(DISCOVER), json.dumps({**asked, "kind": 3, "options": wish})))
    return str(answer["yiaddr"]) if answer else ""


def test_an_address_that_another_machine_uses_is_named(own_boot: Boot) -> None:
    """A client that saw somebody at its address declines it; after that nobody is given it, and `why` names that."""
    own_boot.start()
    machine, began = own_boot.machine(OLD), time.time()
    wish = {"50": bytes([10, 20, 0, 11]).hex(), "54": bytes([10, 20, 0, 2]).hex()}
    declined = {"mac": OLD, "kind": 4, "options": wish, "seconds": 1}
    machine.run(sys.executable, str(DISCOVER), json.dumps(declined))
    asks(machine, OLD)
    told(own_boot, "dhcp.withheld")
    cause = likely_cause("booting", own_boot.journal.since(host="cp-1"), "hall", "cp-1", began + 60)
    assert cause.what == "DHCP does not give the host its address"
    assert "previously declined" in cause.why


def test_a_nic_that_does_not_boot_is_named(own_boot: Boot, hall: Path) -> None:
    """Without a pool only the NIC that boots is answered: one that asks instead of it is the cause, not the cable."""
    rewritten(hall, lambda text: text.replace("pool: 10.20.250.0/24, ", ""))
    own_boot.dc = _loaded(hall)
    own_boot.start()
    assert asks(own_boot.machine(SECOND), SECOND) is None
    told(own_boot, "dhcp.ignored")
    cause = likely_cause("booting", own_boot.journal.since(host="cp-1"), "hall", "cp-1", time.time())
    assert cause.what == f"DHCP is asked by a NIC that it has no address for: {SECOND}"


def test_a_pool_that_is_used_up_is_named(own_boot: Boot, hall: Path) -> None:
    """Strangers have all addresses of the pool; the second NIC of a host is told so."""
    rewritten(hall, lambda text: text.replace("pool: 10.20.250.0/24", "pool: 10.20.250.0/31"))
    own_boot.dc = _loaded(hall)
    own_boot.start()
    for number in range(2):
        assert leased(own_boot.machine(STRANGER[:-1] + str(number)), own_boot.state)
    until(lambda: asks(own_boot.machine(SECOND), SECOND) is None, "nothing is left")
    told(own_boot, "dhcp.exhausted")
    cause = likely_cause("booting", own_boot.journal.since(host="cp-1"), "hall", "cp-1", time.time())
    assert cause.what == f"DHCP has no address left for {SECOND}"
