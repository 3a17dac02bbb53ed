"""What serial numbers, UUIDs and MACs say, in all the ways in which makers write nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.identity import mac_of, same_serial, same_uuid, serial_of, serials, uuids

NOTHING = [
    None, "", " ", "N/A", "n/a", "NA", "0", "00000000", "0123456789", "123456789", "1234567890", "0123456789ABCDEF",
    "Chassis Serial Number", "System Serial Number", "Base Board Serial Number", "SerialNumber", "Serial Number",
    "....", ".", "XXXXXXXX", "xxxx-xxxx", "To Be Filled By O.E.M.", "To be filled by O.E.M", "None",
    "To Be Filled By OEM", "Not Specified", "Not Available", "Not Applicable", "Default string", "Default", "Unknown",
    "Empty", "NULL", "OEM", "FFFFFFFF", "11111111", "-", "***", "Not Provided", "System Serial#", "invalid",
    "unspecified",
]  # fmt: skip
SERIALS = ["S1", "LAB0011", "CZJ0X0X0X0", "7XYZ123", "0012", "X", "J1000N0X", "12345", "none1", "1234ABCD", "S000000"]


@pytest.mark.parametrize("text", NOTHING)
def test_what_makers_write_for_nothing_is_nothing(text: str | None) -> None:
    """It is equal to no serial number, not even to itself."""
    assert serials(text) == frozenset()
    assert same_serial(text, text) is None
    assert serial_of(text, "S1") == "S1"


@pytest.mark.parametrize("text", SERIALS)
def test_serial_numbers_are_serial_numbers(text: str) -> None:
    """In any case and with blanks around them."""
    assert same_serial(f"  {text.lower()} ", text.upper()) is True
    assert same_serial(text, text + "9") is False


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", "x", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
        *("03000200-0400-0500-0006-000700080009", "00020003-0004-0005-0006-000700080009"),
    ],
)
def test_a_uuid_that_many_have_is_none(text: str | None) -> None:
    """Zeros, and what a kit of firmware puts into every machine, in both byte orders."""
    assert uuids(text) == frozenset()


def test_a_uuid_is_the_same_in_both_byte_orders() -> None:
    """BMCs and DMI tables disagree about the first three fields; the rest has one order."""
    assert same_uuid("6d2f6b1e-8f2f-4f6a-9c55-0b6d0a870001", "1E6B2F6D-2F8F-6A4F-9C55-0B6D0A870001") is True
    assert same_uuid("6d2f6b1e-8f2f-4f6a-9c55-0b6d0a870001", "6d2f6b1e-8f2f-4f6a-9c55-0b6d0a870002") is False


@pytest.mark.parametrize(
    ("text", "mac"),
    [
        ("52:54:00:77:00:0B", "52:54:00:77:00:0b"),
        ("52-54-00-77-00-0b", "52:54:00:77:00:0b"),
        ("5254.0077.000b", "52:54:00:77:00:0b"),
        ("52540077000B", "52:54:00:77:00:0b"),
        ("00:00:00:00:00:00", None),
        ("FF:FF:FF:FF:FF:FF", None),
        ("80:00:02:08:fe:80:00:00:00:00:00:00:0c:42:a1:03:00:01:02:03", None),
        ("Not Available", None),
        ("", None),
        (None, None),
    ],
)
def test_a_mac_is_read_in_every_spelling(text: str | None, mac: str | None) -> None:
    """And what is none of Ethernet's is none."""
    assert mac_of(text) == mac


@given(st.text())
def test_any_text_is_judged(text: str) -> None:
    """Nothing raises, whatever stands there."""
    assert serials(text) in (frozenset(), frozenset({" ".join(text.lower().split())}))
    assert uuids(text) is not None
    assert mac_of(text) is None or len(str(mac_of(text))) == 17
