"""The records of an IPMI event log (IPMI 2.0, tables 32-1 to 32-3) as entries. Pure.

They are numbers, the same whatever the language and the time zone are where they are read.
"""

from __future__ import annotations

from datetime import UTC, datetime

from bmk.bmc.ipmi_events import meaning, sensor_name
from bmk.bmc.protocol import LOG_LIMIT, LogEntry

SIZE = 16  # bytes of a record
_EVENT, _TIMED = 0x02, range(0xC0, 0xE0)  # record types; those above are a maker's, without a time
_SINCE_START = 0x20000000  # seconds below count from the BMC's own beginning: it did not know the time
_NO_TIME = 0xFFFFFFFF
_NOTHING = 0xFF  # in a byte of event data that says nothing


def entries_of(log: bytes) -> list[LogEntry]:
    """The newest entries of a log, oldest first."""
    records = [log[at : at + SIZE] for at in range(0, len(log) - SIZE + 1, SIZE)]
    return [_entry(record) for record in records[-LOG_LIMIT:]]


def _entry(record: bytes) -> LogEntry:
    kind, at = record[2], _time(int.from_bytes(record[3:7], "little"))
    if kind == _EVENT:
        return _event(at, record)
    if kind in _TIMED:
        return LogEntry(at, "OK", f"OEM record {kind:02x}: {record[7:].hex(' ')}")
    return LogEntry("", "OK", f"OEM record {kind:02x}: {record[3:].hex(' ')}")


def _event(at: str, record: bytes) -> LogEntry:
    """Of a sensor. What ends is no trouble any more."""
    sensor, number, how, data = record[10], record[11], record[12], record[13:16]
    ended = bool(how & 0x80)
    what, severity = meaning(sensor, how & 0x7F, data[0] & 0x0F)
    more = f" ({data.hex(' ')})" if any(byte != _NOTHING for byte in data[1:]) else ""
    text = f"{sensor_name(sensor)} #{number:#04x}: {what} | {'Deasserted' if ended else 'Asserted'}{more}"
    return LogEntry(at, "OK" if ended else severity, text)


def _time(seconds: int) -> str:
    if seconds == _NO_TIME:
        return ""
    if seconds < _SINCE_START:
        return f"{seconds} s after the BMC's start"
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
