"""What the lab builds for a data center file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.datacenter.resolve import DataCenter
from bmk.errors import ConfigError
from bmk.lab.machines.hardware import Drive, bought, bridges, hardware_of, parse_size


def test_only_hosts_with_a_lab_profile_are_built(hall: DataCenter) -> None:
    """A real machine of a mixed file is never built, and never touched, by the lab."""
    assert list(hardware_of(hall)) == ["one", "two"]


def test_a_file_without_lab_machines_is_refused(hall: DataCenter) -> None:
    """`bmk lab up` on real racks says that there is nothing to build instead of starting an empty lab."""
    real = replace(hall, hosts={"iron": hall.hosts["iron"]})
    with pytest.raises(ConfigError, match="nothing to build"):
        hardware_of(real)


def test_identity_comes_from_the_file(hall: DataCenter) -> None:
    """Serial, UUID, MACs and disk serials are those that the file promises, so that checks against it can pass."""
    one, two = hardware_of(hall).values()
    assert (one.serial, two.serial) == ("S1", "S2")
    assert two.uuid == "6d2f6b1e-8f2f-4f6a-9c55-0b6d0a770002"
    assert [p.mac for p in one.ports] == ["52:54:00:00:00:01", "52:54:00:00:01:01"]
    assert one.drives[0].serial == "DISK,1"
    assert two.drives[0].wwn == "0x5000c500a1b2c3d4"
    assert two.drives[0].bus == "ahci"


def test_a_missing_uuid_is_the_same_every_time(hall: DataCenter) -> None:
    """A machine without a UUID in the file gets one that does not change between starts of the lab."""
    assert hardware_of(hall)["one"].uuid == hardware_of(hall)["one"].uuid


def test_the_deployers_network_is_the_first_bridge(hall: DataCenter) -> None:
    """bmk0 always carries the deployer, whatever the other networks are called."""
    assert bridges(hall) == {"nodes": "bmk0", "storage": "bmk1"}


def test_a_machine_keeps_the_identity_it_was_bought_with(hall: DataCenter, tmp_path: Path) -> None:
    """A serial changed in the file later does not change the machine:

    the file is then wrong about it, as in a real room.
    """
    planned = hardware_of(hall)["one"]
    bought(planned, tmp_path / "one")
    later = bought(replace(planned, serial="TYPO", cpus=8), tmp_path / "one")
    assert later.serial == "S1"
    assert later.cpus == 8


def test_hardware_on_disk_is_complete(hall: DataCenter, tmp_path: Path) -> None:
    """What is kept names everything that identifies the machine."""
    bought(hardware_of(hall)["one"], tmp_path)
    kept = json.loads((tmp_path / "hardware.json").read_text())
    assert {"serial", "uuid", "ports", "drives"} <= set(kept)


@given(
    st.integers(1, 999), st.sampled_from(["MB", "GB", "TB", "MiB", "GiB", "TiB"]), st.sampled_from(["", ">=", "<= "])
)
def test_sizes_are_bytes(number: int, unit: str, comparison: str) -> None:
    """Decimal units are powers of ten, binary ones powers of two; a comparison in front does not matter."""
    base = 1024 if "i" in unit else 1000
    assert parse_size(f"{comparison}{number}{unit}") == number * base ** (" MGT".index(unit[0]) + 1)


def test_a_drive_without_wwn_is_virtio() -> None:
    """Plain drives hang on virtio, the fast way; those with a WWN or spindles on AHCI, which can show them."""
    assert Drive("vda", "x", 1).bus == "virtio"
    assert Drive("sda", "x", 1, rotational=True).bus == "ahci"
