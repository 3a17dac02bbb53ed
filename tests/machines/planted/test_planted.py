"""What was done to a machine's firmware, BMC and case: found, named, put right, and drift is empty again.

The tests follow one another: what the first leaves would be found by the second.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tests.containers.drift.plants import Plant
from tests.lab import Lab
from tests.machines.planted.plants import ALONG, BOOTS, HOST, ORDERED, SWAPPED
from tests.planted import Row, record

pytestmark = pytest.mark.machines

ORDER = """
import sys
from bmk.live.workspace import open_workspace
site = open_workspace(sys.argv[1])
site.services.bmc(site.dc.hosts[sys.argv[2]]).set_boot_once("pxe", "uefi")
"""


def test_another_disk_and_mode_are_named_until_they_are_put_back(lab: Lab, pytestconfig: pytest.Config) -> None:
    """Parts and setup are a person's to put back: each named with its class, and what says where to look."""
    for plant in SWAPPED:
        lab.bmk("lab break", plant.script, HOST)
    try:
        lab.power_cycled(HOST)
        found = look(lab, *SWAPPED, ALONG)
    finally:  # the next test has the machine that was bought
        for plant in SWAPPED:
            lab.bmk("lab heal", plant.script, HOST)
        lab.power_cycled(HOST)
    assert [d["repair"] for d in found.values()] == ["", "", ""]
    assert f"bmk ssh lab-mixed {HOST} lsblk" in found["disks:MIXDISK0005"]["next"]
    assert "firmware back in its setup" in found["kernel:firmware"]["next"]
    for plant in SWAPPED:
        tell(pytestconfig, plant, "by hand")


def test_where_it_boots_is_named_and_put_back(lab: Lab, pytestconfig: pytest.Config) -> None:
    """By its firmware and by its BMC, for one boot and for all: `bmk provision` says it and does it."""
    for plant in BOOTS:
        lab.on(HOST, plant.script)
    order(lab)
    found = look(lab, *BOOTS, ORDERED)
    assert {d["next"] for d in found.values()} == {f"bmk provision lab-mixed --limit {HOST}"}
    assert "take the boot override back" in lab.bmk("plan", "--limit", HOST, code=2)
    lab.bmk("provision", "--yes", "--limit", HOST)
    assert [d for s in lab.drift(0, "--deadline", "600").values() for d in s["differences"]] == []
    for plant in (*BOOTS, ORDERED):
        tell(pytestconfig, plant, "by provision")


def look(lab: Lab, *planted: Plant) -> dict[str, dict[str, Any]]:
    """What drift finds on the machine: exactly what was planted, each of its class. By item.

    A machine that is emulated and has just booted takes minutes to answer.
    """
    found = {d["item"]: d for d in lab.drift(2, "--limit", HOST, "--deadline", "600")[HOST]["differences"]}
    seen = {(d["item"], d["field"], d["severity"]) for d in found.values()}
    assert seen == {(p.item, p.field, p.severity) for p in planted}
    return found


def order(lab: Lab) -> None:
    """A network boot, ordered from the machine's BMC as a colleague would, who forgets it."""
    subprocess.run([sys.executable, "-c", ORDER, lab.dc, HOST], env=lab.env, check=True, timeout=120)


def tell(config: pytest.Config, plant: Plant, repaired: str) -> None:
    record(config, Row(plant.words, plant.at, f"{plant.item} {plant.field}".strip(), plant.severity, repaired))
