"""The quirk table: each row is found by its machine, and says what the reports say."""

from __future__ import annotations

import re

import pytest

from bmk.bmc.quirks import QUIRKS, STANDARD, quirk_of, send_mode


@pytest.mark.parametrize(
    ("manufacturer", "model", "name"),
    [
        ("Supermicro", "X10SRM-TF", "supermicro"),
        ("Dell Inc.", "PowerEdge R660", "dell"),
        ("HPE", "ProLiant DL360 Gen11", "hpe-ilo"),
        ("HPE", "ProLiant DL160 Gen10", "hpe-dl160-gen10"),
        ("Hewlett Packard Enterprise", "ProLiant DL380", "hpe-ilo"),
        ("OpenIPMI", "ipmi_sim", "openipmi-simulator"),
        ("Lenovo", "SR630", "standard"),
        (None, None, "standard"),
    ],
)
def test_a_machine_finds_its_row(manufacturer: str | None, model: str | None, name: str) -> None:
    """Manufacturer and model select the most special row, unknown machines the standard."""
    assert quirk_of(manufacturer, model).name == name


def test_every_row_says_where_it_was_seen() -> None:
    """A row without a source cannot be checked when it is doubted; one without a pattern would match all machines."""
    for quirk in QUIRKS:
        assert quirk.seen
        assert quirk.manufacturer or quirk.model
        re.compile(quirk.manufacturer)
        re.compile(quirk.model)


def test_no_row_hides_another() -> None:
    """Special rows stand before general ones: names are unique, and every row can be reached."""
    assert len({q.name for q in QUIRKS}) == len(QUIRKS)
    special = [q.name for q in QUIRKS if q.model]
    assert special.index("hpe-dl160-gen10") == 0


def test_the_mode_is_sent_only_where_it_does_no_harm() -> None:
    """Not to BMCs that know none (X10), not again when it is right (iDRAC 9), always where it is forgotten."""
    assert not send_mode("always", None, "UEFI")
    assert not send_mode(STANDARD.mode, "UEFI", "UEFI")
    assert send_mode(STANDARD.mode, "Legacy", "UEFI")
    assert send_mode("always", "UEFI", "UEFI")
    assert not send_mode("never", "Legacy", "UEFI")
