"""Records of an IPMI event log: how bad they are by sensor type and offset, and the same wherever they are read."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.bmc.ipmi_sel import SIZE, entries_of
from bmk.bmc.protocol import LOG_LIMIT, LogEntry

NOON = 1_795_694_400  # 2026-11-26T12:00:00Z


def record(sensor: int, kind: int, data: bytes, number: int = 0x30, at: int = NOON) -> bytes:
    """A system event, as table 32-1 lays it out."""
    return b"\x01\x00\x02" + at.to_bytes(4, "little") + b"\x20\x00\x04" + bytes([sensor, number, kind]) + data


def read(hexed: str, sensor: int, kind: int = 0x6F) -> LogEntry:
    (entry,) = entries_of(record(sensor, kind, bytes.fromhex(hexed)))
    return entry


@pytest.mark.parametrize(
    ("sensor", "kind", "data", "severity", "words"),
    [
        (0x07, 0x6F, "00ffff", "Critical", "Processor #0x30: IERR | Asserted"),
        (0x07, 0x6F, "01ffff", "Critical", "Thermal Trip"),
        (0x07, 0x6F, "07ffff", "OK", "Presence detected"),
        (0x08, 0x0B, "01ffff", "Critical", "Redundancy Lost"),
        (0x08, 0x0B, "00ffff", "OK", "Fully Redundant"),
        (0x08, 0x0B, "02ffff", "Warning", "Redundancy Degraded"),
        (0x08, 0x6F, "03ffff", "Critical", "Power Supply AC lost"),
        (0x08, 0x08, "00ffff", "Warning", "Device Absent"),
        (0x25, 0x08, "00ffff", "OK", "Device Absent"),
        (0x29, 0x6F, "01ffff", "Critical", "Battery #0x30: Failed"),
        (0x29, 0x6F, "00ffff", "Warning", "Low"),
        (0x20, 0x6F, "03ffff", "OK", "OS graceful shutdown"),
        (0x20, 0x6F, "a16f6f", "Critical", "Run-time critical stop | Asserted (a1 6f 6f)"),
        (0x09, 0x6F, "00ffff", "OK", "Power off/down"),
        (0x0C, 0x6F, "a10001", "Critical", "Uncorrectable ECC | Asserted (a1 00 01)"),
        (0x0C, 0x6F, "a00001", "Warning", "Correctable ECC"),
        (0x0D, 0x6F, "01ffff", "Critical", "Drive Fault"),
        (0x13, 0x6F, "05ffff", "Critical", "PCI SERR"),
        (0x23, 0x6F, "01ffff", "Critical", "Watchdog 2 #0x30: Hard reset"),
        (0x23, 0x6F, "08ffff", "Warning", "Timer interrupt"),
        (0x1D, 0x6F, "00ffff", "OK", "Initiated by power up"),
        (0x01, 0x01, "59ffff", "Critical", "Upper Critical going high"),
        (0x01, 0x01, "57ffff", "Warning", "Upper Non-critical going high"),
        (0x04, 0x01, "52ffff", "Critical", "Lower Critical going low"),
        (0x04, 0x01, "53ffff", "OK", "Lower Critical going high"),
        (0x07, 0x03, "01ffff", "Critical", "State Asserted"),
        (0x14, 0x03, "01ffff", "OK", "State Asserted"),
        (0x02, 0x07, "02ffff", "Critical", "Transition to Critical from less severe"),
        (0xC7, 0x6F, "01ffff", "OK", "OEM sensor #0x30: Event type 0x6f, offset 0x1"),
        (0x07, 0x70, "01ffff", "OK", "Event type 0x70"),
        (0x23, 0x6F, "05ffff", "OK", "Event type 0x6f, offset 0x5"),
    ],
)
def test_an_event_is_as_bad_as_the_tables_say(sensor: int, kind: int, data: str, severity: str, words: str) -> None:
    """By sensor type, event type and offset: what broke, what may, and what is routine although its words sound bad."""
    entry = read(data, sensor, kind)
    assert (entry.severity, words in entry.text) == (severity, True), entry


def test_the_end_of_a_trouble_is_none() -> None:
    """A critical event that is deasserted is over."""
    assert read("59ffff", 0x01, 0x81) == LogEntry(
        "2026-11-26T12:00:00Z", "OK", "Temperature #0x30: Upper Critical going high | Deasserted"
    )


@pytest.mark.parametrize(
    ("at", "shown"),
    [(473, "473 s after the BMC's start"), (0xFFFFFFFF, ""), (NOON, "2026-11-26T12:00:00Z")],
)
def test_times_are_in_utc_or_said_to_be_none(at: int, shown: str) -> None:
    """What a BMC wrote before it knew the time, and what it wrote without any, is kept and dated so."""
    (entry,) = entries_of(record(0x01, 0x01, b"\x59\xff\xff", at=at))
    assert (entry.at, entry.severity) == (shown, "Critical")


def test_makers_records_are_kept() -> None:
    """With a time and without; nobody but the maker knows how bad they are."""
    timed = bytes.fromhex("0100c0") + NOON.to_bytes(4, "little") + bytes(range(9))
    other = bytes.fromhex("0200f0") + b"kernel panic!"
    assert entries_of(timed + other) == [
        LogEntry("2026-11-26T12:00:00Z", "OK", "OEM record c0: 00 01 02 03 04 05 06 07 08"),
        LogEntry("", "OK", "OEM record f0: 6b 65 72 6e 65 6c 20 70 61 6e 69 63 21"),
    ]


def test_the_newest_are_kept() -> None:
    """A log may be longer than what is told: its end is."""
    log = b"".join(record(0x01, 0x01, b"\x59\xff\xff", at=NOON + n) for n in range(LOG_LIMIT + 5))
    entries = entries_of(log)
    assert len(entries) == LOG_LIMIT
    assert entries[0].at == "2026-11-26T12:00:05Z"


@given(st.binary(max_size=5 * SIZE))
def test_any_log_is_read(log: bytes) -> None:
    """Whatever a BMC sends, every whole record is one entry."""
    assert len(entries_of(log)) == len(log) // SIZE


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/New_York"])
def test_an_entry_is_the_same_in_every_zone(zone: str) -> None:
    """What is known of a log under one time zone and language is known under another."""
    code = "from bmk.bmc.ipmi_sel import entries_of; import sys; print(entries_of(bytes.fromhex(sys.argv[1]))[0].at)"
    log = record(0x01, 0x01, b"\x59\xff\xff").hex()
    done = subprocess.run(
        [sys.executable, "-c", code, log],
        env={"TZ": zone, "LC_ALL": "de_DE.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "2026-11-26T12:00:00Z"
