"""What goes wrong in real rooms: a clear cause and next command, nothing written, and the other host done.

The tests follow one another: `good` is installed by the first run, `bad` is never written.
"""

from __future__ import annotations

import json

import pytest

from tests.lab import Lab

pytestmark = pytest.mark.containers


def break_(lab: Lab, *arguments: str) -> None:
    lab.bmk("lab break", *arguments, seconds=120)


def untouched(lab: Lab, host: str = "bad") -> None:
    """No image was written and no grant was spent."""
    journal = lab.journal
    assert journal.since(host=host, kind="image.written") == []
    assert journal.query("SELECT id FROM grants WHERE host = ? AND outcome = 'spent'", (host,)) == []
    assert "installed" not in journal.facts(host)
    journal.close()


def done(lab: Lab, host: str) -> bool:
    return "ready" in lab.journal.facts(host)


def cause(lab: Lab, host: str = "bad") -> dict[str, str]:
    """What `bmk why` says of it, as one dictionary."""
    story = json.loads(lab.bmk("why", host, "-o", "json", seconds=60))
    assert story["cause"]["what"]
    assert story["cause"]["next"]
    return {**story["cause"], "state": story["state"], "phase": story["phase"]}


def power(lab: Lab, host: str = "bad") -> str:
    listed = json.loads(lab.bmk("lab status", "-o", "json", seconds=60))
    machines = listed["machines"] if isinstance(listed, dict) else listed
    return str(next(m["power"] for m in machines if m["name"] == host))


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
    assert "--confirm bad" in said["next"]


def test_foreign_data_once_seen_is_in_the_plan_and_needs_confirm(lab: Lab) -> None:
    """`plan` names disk and content; `provision --yes` without --confirm is declined before anything happens."""
    assert "LVM" in lab.bmk("plan", code=2, seconds=120)
    before = lab.journal.last_seq()
    lab.bmk("provision", "--yes", code=8, seconds=120)
    assert [e.kind for e in lab.journal.since(before) if e.kind.startswith(("phase.", "grant."))] == []
    untouched(lab)
