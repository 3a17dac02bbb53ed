"""What ipmitool prints, as values."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.bmc.ipmi_text import BootFlags, decode_guid, parse_boot_flags, parse_fields
from bmk.bmc.quirks import STANDARD, quirk_of
from bmk.identity import same_uuid

SIMULATOR = quirk_of("OpenIPMI", "ipmi_sim")


@pytest.mark.parametrize(
    ("data", "flags"),
    [
        ("8004000000", BootFlags(valid=True, persistent=False, efi=False, selector=1)),
        ("a004000000", BootFlags(valid=True, persistent=False, efi=True, selector=1)),
        ("e008000000", BootFlags(valid=True, persistent=True, efi=True, selector=2)),
        ("0004000000", BootFlags(valid=False, persistent=False, efi=False, selector=1)),
        ("0000000000", BootFlags(valid=False, persistent=False, efi=False, selector=0)),
    ],
)
def test_boot_flags_are_decoded(data: str, flags: BootFlags) -> None:
    """Valid, once or always, UEFI and the device come from the raw bytes, not from ipmitool's prose."""
    text = (
        f"Boot parameter version: 1\nBoot parameter 5 is valid/unlocked\nBoot parameter data: {data}\n Boot Flags :\n"
    )
    assert parse_boot_flags(text) == flags


def test_no_boot_flags_are_none() -> None:
    """An answer without data is no override that could be trusted."""
    assert parse_boot_flags("Get Chassis Boot Parameter 5 failed: Invalid data field in request") is None


def test_flags_that_are_not_valid_override_nothing() -> None:
    """A BMC that reports flags means it when it says not valid; one that reports none is judged by the device."""
    stale = BootFlags(valid=False, persistent=False, efi=False, selector=1)
    assert not stale.active(STANDARD)
    assert stale.active(SIMULATOR)
    assert not BootFlags(valid=True, persistent=False, efi=False, selector=0).active(STANDARD)


@pytest.mark.parametrize(("persistent", "efi", "selector"), [(True, True, 1), (False, False, 1), (False, True, 2)])
def test_only_the_exact_override_counts(persistent: bool, efi: bool, selector: int) -> None:
    """Once, from the device and in the mode that were asked for; anything else is a BMC that did something else."""
    assert BootFlags(True, False, True, 1).once_from(1, True, STANDARD)
    assert not BootFlags(True, persistent, efi, selector).once_from(1, True, STANDARD)
    assert not BootFlags(False, False, True, 1).once_from(1, True, STANDARD)
    assert BootFlags(False, False, False, 1).once_from(1, True, SIMULATOR)


@given(st.uuids(version=4), st.sampled_from(["bytes_le", "bytes", "reversed"]))
def test_a_guid_is_read_in_the_order_it_was_sent(value: uuid.UUID, order: str) -> None:
    """Whichever order a BMC uses, a machine that is known is known; of one that is not, no other UUID is told but in
    the two orders that count as the same, unless the bytes of another are a proper one by chance.
    """
    sent = value.bytes[::-1] if order == "reversed" else getattr(value, order)
    assert decode_guid(sent, str(value)) == str(value)
    seen = decode_guid(sent)
    if seen is not None and order != "reversed":
        assert same_uuid(seen, str(value))


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("1e6b2f6d2f8f6a4f9c550b6d0a770001", "6d2f6b1e-8f2f-4f6a-9c55-0b6d0a770001"),  # as SMBIOS has it
        ("0100770a6d0b559c4f6a8f2f6d2f6b1e", "1e6b2f6d-2f8f-6a4f-9c55-0b6d0a770001"),  # backwards, as IPMI has it
        ("00000000000000000000000000000000", None),
        ("ffffffffffffffffffffffffffffffff", None),
        ("00020003000400050006000700080009", None),  # what a kit of firmware has in every machine
        ("00000000000000000000" + "0cc47a010203", None),  # not a proper UUID: any order would be a guess
        ("6d2f6b1e8f2f4f8a9c550b6d0a770001", None),  # proper backwards as well
    ],
)
def test_a_guess_is_no_fact(sent: str, told: str | None) -> None:
    """Where the bytes do not say in which order they are, nothing is told."""
    assert decode_guid(bytes.fromhex(sent)) == told


@given(st.binary(max_size=24))
def test_any_answer_to_guid_is_survived(answer: bytes) -> None:
    """Anything but sixteen bytes is none, and nothing raises."""
    assert len(answer) == 16 or decode_guid(answer) is None


def test_fields_keep_colons_in_values() -> None:
    """Only the first colon separates name and value; empty values are left out."""
    assert parse_fields(" Product Serial   : A:B\n Board Extra :\nno field\n") == {"Product Serial": "A:B"}
