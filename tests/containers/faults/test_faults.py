"""What goes wrong in real rooms: a clear cause and next command, nothing written, and the other host done.

The tests follow one another: `good` is installed by the first run, `bad` by the last, when nothing is wrong any more.
"""

from __future__ import annotations

import pytest

from tests.faults import break_, cause, done, power, untouched
from tests.lab import Lab

pytestmark = pytest.mark.containers


def test_a_wrong_serial_stops_its_host_before_power_on(lab: Lab) -> None:
    """The BMC of another machine: refused with both serials named, no grant opened, the other host is done."""
    break_(lab, "wrong-serial", "bad")
    lab.bmk("provision", "--yes", code=4, seconds=300)
    assert done(lab, "good")
    untouched(lab)
    assert lab.journal.query("SELECT id FROM grants WHERE host = 'bad'") == []
    assert power(lab) == "off"
    said = cause(lab)
    assert "another machine" in said["what"]
    assert "serial: the file says FAULT0002" in said["why"]
    assert "dc.yml" in said["next"]
    lab.bmk("lab heal", "wrong-serial", "bad")


def test_a_bmc_that_ignores_the_boot_override_is_named(lab: Lab) -> None:
    """It answers 200 and does nothing: found out by reading back, and the machine is not powered on."""
    break_(lab, "bmc-ignores-override", "bad")
    lab.bmk("provision", "--yes", code=4, seconds=300)
    untouched(lab)
    assert power(lab) == "off"
    said = cause(lab)
    assert "ignores it" in said["what"]
    assert "not powered on" in said["why"]
    assert "boot order" in said["next"]
    lab.bmk("lab heal", "bmc-ignores-override", "bad")


def test_a_disk_with_foreign_data_is_left_alone(lab: Lab) -> None:
    """An LVM volume on the disk: the ramdisk refuses, says what it is, and says how to give it up."""
    break_(lab, "disk-lvm", "bad")
    lab.bmk("provision", "--yes", code=4, seconds=300)
    untouched(lab)
    said = cause(lab)
    assert "FAULTDISK0002 holds data" in said["what"]
    assert "LVM" in said["why"]
    assert f"bmk provision {lab.name} --confirm bad" in said["next"]


def test_foreign_data_once_seen_is_in_the_plan_and_needs_confirm(lab: Lab) -> None:
    """`plan` names disk and content; `provision --yes` without --confirm is declined before anything happens."""
    assert "LVM" in lab.bmk("plan", code=2, seconds=120)
    before = lab.journal.last_seq()
    lab.bmk("provision", "--yes", code=8, seconds=120)
    assert [e.kind for e in lab.journal.since(before) if e.kind.startswith(("phase.", "grant."))] == []
    untouched(lab)


def test_a_machine_that_never_asks_for_an_address_is_told_so(lab: Lab) -> None:
    """Its cable is out: when the firmware's time is up, the run says what was missing; nothing was written."""
    break_(lab, "no-dhcp", "bad")
    lab.bmk("provision", "--yes", "--confirm", "bad", code=4, seconds=300)
    untouched(lab)
    said = cause(lab)
    assert "no DHCP request" in said["what"]
    assert "cabling" in said["why"]
    assert "bmk console" in said["next"]
    lab.bmk("lab heal", "no-dhcp", "bad")


def test_an_altered_image_is_never_called_installed(lab: Lab) -> None:
    """One byte flipped on the boot server: found by its digest, the grant is not spent, the disk does not boot."""
    break_(lab, "image-byte")
    lab.bmk("provision", "--yes", "--confirm", "bad", code=4, seconds=300)
    untouched(lab)
    said = cause(lab)
    assert "byte for byte" in said["what"]
    assert "sha256" in said["why"]
    assert "bmk artifacts verify" in said["next"]
    lab.bmk("lab heal", "image-byte")


def test_a_bmc_that_answers_503_for_a_while_is_waited_for(lab: Lab) -> None:
    """The run goes on when the BMC is back; with --confirm and nothing else wrong the host is installed, once."""
    break_(lab, "bmc-503", "bad", "--seconds", "15")
    before = lab.journal.last_seq()
    lab.bmk("provision", "--yes", "--confirm", "bad", seconds=300)
    events = lab.journal.since(before, host="bad")
    assert "bmc.recovered" in {e.kind for e in events}
    assert done(lab, "bad")
    assert lab.journal.query("SELECT count(*) FROM grants WHERE host = 'bad' AND outcome = 'spent'")[0][0] == 1
    lab.bmk("plan", seconds=120)
