"""Which machine a BMC belongs to."""

from __future__ import annotations

from typing import Any

import pytest

from bmk.bmc.protocol import Identity
from bmk.phases.identity import mismatches

UUID, SWAPPED = "6d2f6b1e-8f2f-4f6a-9c55-0b6d0a870001", "1e6b2f6d-2f8f-6a4f-9c55-0b6d0a870001"
MAC = "52:54:00:87:00:11"


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (Identity(UUID, "HA0001", (MAC,)), ""),
        (Identity(UUID.upper(), " ha0001 ", (MAC.upper(),)), ""),
        (Identity(SWAPPED, "HA0001"), ""),
        (Identity(None, None, (MAC, "52:54:00:87:00:99")), ""),
        (Identity(None, "To Be Filled By O.E.M.", (MAC,)), ""),
        (Identity(UUID, "HA0002", (MAC,)), "serial: the file says HA0001, the BMC says HA0002"),
        (Identity("00000000-1111-2222-3333-444444444444", "HA0001"), "uuid: the file says"),
        (Identity(UUID, "HA0001", ("52:54:00:87:00:99",)), "mac: the file says"),
        (Identity(), "cannot be told which machine this is"),
    ],
)
def test_another_machine_is_told_from_the_right_one(ha: Any, seen: Identity, says: str) -> None:
    """What a BMC does not know does not count, byte order and case do not matter, and one thing at least must match."""
    found = "; ".join(mismatches(ha.hosts["cp-1"], seen))
    assert says in found
    assert bool(says) == bool(found)
