"""Who a machine is: what its serial number, UUID and MACs say, and when two of them are of one machine. Pure.

BMCs, firmware and DMI tables write the same thing in many ways, and nothing in even more. Plan, boot service, BMCs and
the install ramdisk ask here; it is packed into the ramdisk: standard library only.
"""

from __future__ import annotations

import re

# What makers leave in the place of a serial number when there is none. Compared without case and further blanks.
_NO_SERIAL = re.compile(
    r"|none|null|nil|empty|invalid|default( string)?|o\.?e\.?m\.?|n[/.]?a\.?"
    r"|unknown|undefined|un(specified|available)"
    r"|not? ?-?(specified|available|applicable|defined|set|known|provided|present|settable|asset|serial|serial number)"
    r"|to be filled.*"
    r"|((system|chassis|base ?board|board|product|enclosure|server|sys)[ -])*(serial|s/n|sn)[ -]?(number|num|no\.?|#)?"
    r"|0?123456789(0|0?abcdef)?|12345678"
    r"|0|[.*?#_-]|[0.x*?#_ -]{2,}|f{4,}|1{6,}|9{6,}"
)
_UUID = re.compile(r"[0-9a-f]{32}")
_NO_UUIDS = frozenset(("03000200040005000006000700080009", "123456781234567890abcddeefaabbcc"))  # of firmware kits
_MAC = re.compile(r"[0-9a-f]{12}")


def serials(text: str | None) -> frozenset[str]:
    """A serial number as it is compared; empty when it says nothing."""
    serial = " ".join((text or "").lower().split())
    return frozenset() if _NO_SERIAL.fullmatch(serial) else frozenset({serial})


def serial_of(*texts: str | None) -> str | None:
    """The first of these that is a serial number."""
    return next((text.strip() for text in texts if text and serials(text)), None)


def uuids(text: str | None) -> frozenset[str]:
    """The UUID as said and with its first three fields swapped: SMBIOS before 2.6 left their byte order open, and many
    BMCs still disagree with DMI tables about it. Empty when it says nothing."""
    digits = (text or "").strip().lower().replace("-", "")
    if not _UUID.fullmatch(digits) or len(set(digits)) == 1:
        return frozenset()
    raw = bytes.fromhex(digits)
    swapped = raw[3::-1] + raw[5:3:-1] + raw[7:5:-1] + raw[8:]
    both = frozenset({raw.hex(), swapped.hex()})
    return frozenset() if both & _NO_UUIDS else both


def same_serial(one: str | None, other: str | None) -> bool | None:
    """Whether two serial numbers are of one machine; None when one of them says nothing."""
    return _same(serials(one), serials(other))


def same_uuid(one: str | None, other: str | None) -> bool | None:
    """Whether two UUIDs are of one machine; None when one of them says nothing."""
    return _same(uuids(one), uuids(other))


def mac_of(text: str | None) -> str | None:
    """A MAC in lower case with colons, however it is spelled; None for other lengths, all zeros and words."""
    digits = re.sub(r"[:. -]", "", (text or "").lower())
    if not _MAC.fullmatch(digits) or set(digits) in ({"0"}, {"f"}):
        return None
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def _same(one: frozenset[str], other: frozenset[str]) -> bool | None:
    return bool(one & other) if one and other else None
