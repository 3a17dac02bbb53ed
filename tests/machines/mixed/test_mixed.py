"""From powered off to Ready: a virtual machine by PXE and four system containers, one cluster, one command."""

from __future__ import annotations

import pytest

from bmk.datacenter.load import load_datacenter
from tests.lab import Lab, ready

pytestmark = pytest.mark.machines


def test_one_command_takes_powered_off_machines_to_a_proven_cluster(lab: Lab) -> None:
    """`bmk provision` installs each disk once, joins every host, and the smoke test proves the cluster."""
    lab.bmk("provision", "--yes", seconds=3000)
    nodes = lab.nodes()
    hosts = load_datacenter("lab-mixed").hosts
    assert set(nodes) == set(hosts)
    assert all(ready(node) for node in nodes.values())
    spent = lab.journal.query("SELECT host, count(*) FROM grants WHERE outcome = 'spent' GROUP BY host")
    assert dict(spent) == dict.fromkeys(hosts, 1)
    checks = lab.journal.since(kind="smoke.check")
    assert checks
    assert all(check.level == "info" for check in checks)


def test_the_machine_went_the_whole_way(lab: Lab) -> None:
    """BMC told and read back; DHCP, HTTP and ramdisk seen; disk read back: no step was skipped."""
    seen = {event.kind for event in lab.journal.since(host="vm-1")}
    assert seen >= {
        "bmc.boot",
        "bmc.power",
        "dhcp.discover",
        "boot.answered",
        "grant.claimed",
        "image.written",
        "grant.spent",
    }


def test_the_second_run_changes_nothing(lab: Lab) -> None:
    """`plan` exits 0, `provision` says that nothing is to do and opens no phase, task or grant."""
    lab.bmk("plan")
    before = lab.journal.last_seq()
    lab.bmk("provision", "--yes")
    assert [e.kind for e in lab.journal.since(before) if e.kind.startswith(("phase.", "task.", "grant."))] == []


def test_every_boot_route_answers_local_disk_after_success(lab: Lab) -> None:
    """No machine of the data center would be installed again, whatever it asks."""
    data = load_datacenter("lab-mixed")
    for host in data.hosts.values():
        url = f"http://{data.spec.deployer.address}/boot/ipxe?mac={host.mac}&uuid={host.uuid}&serial={host.serial}"
        script = lab.inside("curl", "-sf", "--max-time", "30", f"{url}&platform={host.profile.firmware}")
        assert "kernel " not in script
        assert "local disk" in script
