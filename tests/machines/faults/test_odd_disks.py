"""What disks and firmware of real rooms are like: to Ready, or left alone with the reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import break_, cause, untouched
from tests.lab import Lab, ready, running

pytestmark = pytest.mark.machines
DC = Path(__file__).resolve().parent / "odd/dc.yml"
ODD = ("disk-4kn", "nvram-full", "boot-entry-latin1")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running("odd-disks", str(DC), tmp_path_factory.mktemp("odd-disks")) as lab:
        lab.bmk("lab up")
        for fault in ODD:
            break_(lab, fault, "vm-1")
        break_(lab, "disk-4kn", "old")
        lab.bmk("provision", "--yes", code=4, seconds=3000)
        yield lab


def test_larger_sectors_and_a_full_nvram_end_in_a_ready_node(lab: Lab) -> None:
    """Sectors of 4096 bytes, no room for a boot entry, and an entry in Latin-1: one run, one warning, Ready."""
    assert ready(lab.nodes()["vm-1"])
    seen = lab.on("vm-1", "cat /sys/block/vda/queue/logical_block_size; ls /sys/firmware/efi/efivars").split()
    assert seen[0] == "4096"
    assert [name for name in seen if name.startswith("Boot00FC-")]
    warned = [e.text for e in lab.journal.since(host="vm-1", kind="agent.said") if e.level == "warning"]
    assert len(warned) == 1
    assert "No space left on device" in warned[0]
    spent = lab.journal.query("SELECT count(*) FROM grants WHERE host = 'vm-1' AND outcome = 'spent'")
    assert spent[0][0] == 1


def test_it_boots_again_and_nothing_is_different(lab: Lab) -> None:
    """By the loader that needs no entry; drift reads the odd entry and finds nothing."""
    lab.power_cycled("vm-1")
    assert [d for s in lab.drift(0, "--limit", "vm-1", "--deadline", "600").values() for d in s["differences"]] == []


def test_what_could_not_boot_is_left_alone(lab: Lab) -> None:
    """BIOS and sectors of 4096 bytes: refused before a byte is written, with what to change."""
    untouched(lab, "old")
    said = cause(lab, "old")
    assert "has sectors of 4096 bytes, from which this machine cannot boot" in said["what"]
    assert "firmware: uefi" in said["next"]


def test_the_plan_names_the_disk(lab: Lab) -> None:
    """And asks for no confirmation: there is nothing on it that a person would miss."""
    plan = json.loads(lab.bmk("plan", "-o", "json", code=2))
    wipes = {c["disk"]["identity"]: c["confirm"] for h in plan["hosts"] for c in h["changes"] if c["disk"]}
    assert wipes == {"ODDDISK0003": ""}
