"""What only a machine with firmware, a cable and a disk can do wrong: nothing is written that was not granted.

The tests follow one another: `bad` meets one fault after the other and is installed, once, when the last is over.
"""

from __future__ import annotations

import pytest

from tests.faults import break_, cause, done, untouched
from tests.lab import Lab

pytestmark = pytest.mark.machines


def test_a_cable_that_is_out_is_told_by_what_was_not_seen(lab: Lab) -> None:
    """No DHCP request ever comes: told when the firmware's time is up, and the other host is done."""
    break_(lab, "no-dhcp", "bad")
    lab.bmk("provision", "--yes", code=4)
    assert done(lab, "good")
    untouched(lab)
    said = cause(lab)
    assert "no DHCP request" in said["what"]
    assert "bmk console" in said["next"]
    lab.bmk("lab heal", "no-dhcp", "bad")
    lab.bmk("power off", "bad", "--yes")


def test_a_volume_on_the_disk_is_left_alone(lab: Lab) -> None:
    """The ramdisk finds an LVM volume on the real disk and refuses; the plan then asks for the host by name."""
    break_(lab, "disk-lvm", "bad")
    lab.bmk("provision", "--yes", code=4)
    untouched(lab)
    said = cause(lab)
    assert "FAULTDISK0002 holds data" in said["what"]
    assert f"bmk provision {lab.name} --confirm bad" in said["next"]
    lab.bmk("provision", "--yes", code=8)


def test_an_altered_image_never_boots(lab: Lab) -> None:
    """One byte flipped on the way: found by the digest while it is written, and the grant is not spent."""
    break_(lab, "image-byte")
    lab.bmk("provision", "--yes", "--confirm", "bad", code=4)
    untouched(lab)
    said = cause(lab)
    assert "byte for byte" in said["what"]
    assert "bmk artifacts verify" in said["next"]
    lab.bmk("lab heal", "image-byte")


def test_a_bmc_that_comes_back_is_waited_for(lab: Lab) -> None:
    """503 (over IPMI: no answer) for a minute: the run goes on afterwards, and the machine is installed once."""
    break_(lab, "bmc-503", "bad", "--seconds", "60")
    lab.bmk("provision", "--yes", "--confirm", "bad")
    assert done(lab, "bad")
    assert lab.journal.query("SELECT count(*) FROM grants WHERE host = 'bad' AND outcome = 'spent'")[0][0] == 1
    lab.bmk("plan")
