"""Which machine a BMC belongs to."""

from __future__ import annotations

from dataclasses import replace
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
        (Identity(UUID, "HA0001", ("52:54:00:87:00:99",)), ""),  # what is not listed is not there
        (Identity(UUID, None, ("52:54:00:87:00:99",)), "mac: the file says"),
        (Identity(None, "HA0001", ("52:54:00:87:00:99",)), "mac: the file says"),
        (Identity(None, "HA0001", ("00:00:00:00:00:00", "Not Available", "80:00" * 10)), ""),
        (Identity(None, None, ("52-54-00-87-00-11",)), ""),
        (Identity(None, None, ("525400870011",)), ""),
        (Identity(), "cannot be told which machine this is"),
    ],
)
def test_another_machine_is_told_from_the_right_one(ha: Any, seen: Identity, says: str) -> None:
    """What a BMC does not know does not count, byte order and case do not matter, and one thing at least must match."""
    found = "; ".join(mismatches(ha.hosts["cp-1"], seen))
    assert says in found
    assert bool(says) == bool(found)


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (Identity(UUID, "Default string", (MAC,)), ""),
        (Identity(UUID, "S-OF-THE-FRU"), ""),  # the BMC knows one, the machine's own tables do not
        (Identity("00000000-1111-2222-3333-444444444444", None, (MAC,)), "uuid: the file says"),
        (Identity(None, "None"), "cannot be told which machine this is"),
    ],
)
def test_a_machine_without_a_serial_is_known_by_its_uuid(ha: Any, seen: Identity, says: str) -> None:
    """Where the file says `serial: none`, the UUID has to be right."""
    found = "; ".join(mismatches(replace(ha.hosts["cp-1"], serial="none", uuid=UUID), seen))
    assert says in found
    assert bool(says) == bool(found)
