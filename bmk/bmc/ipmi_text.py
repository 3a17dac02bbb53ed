"""What ipmitool prints, as values. Pure."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from bmk.bmc.quirks import Quirk
from bmk.identity import same_uuid, uuids

_GUID = 16  # bytes
SELECTOR_NAMES = {0x0: "no override", 0x1: "pxe", 0x2: "disk", 0x5: "cdrom", 0x6: "firmware setup"}


@dataclass(frozen=True, slots=True)
class BootFlags:
    """Boot option parameter 5 (IPMI 2.0, table 28-14)."""

    valid: bool
    persistent: bool
    efi: bool
    selector: int

    def active(self, quirk: Quirk) -> bool:
        """Whether the next boot is overridden."""
        return self.selector != 0 and (self.valid or not quirk.reports_boot_flags)

    def once_from(self, selector: int, efi: bool, quirk: Quirk) -> bool:
        """Whether exactly the next boot is from this device, in this firmware mode, as far as the BMC can say."""
        if self.selector != selector or not quirk.reports_boot_flags:
            return self.selector == selector
        return self.valid and not self.persistent and self.efi == efi

    def __str__(self) -> str:
        how = "always" if self.persistent else "once"
        kind = "uefi" if self.efi else "bios"
        stale = "" if self.valid else ", flags not valid"
        return f"{SELECTOR_NAMES.get(self.selector, hex(self.selector))} {how} ({kind}{stale})"


def parse_boot_flags(text: str) -> BootFlags | None:
    """From `chassis bootparam get 5`; None when it holds no parameter data."""
    found = re.search(r"Boot parameter data:\s*([0-9a-fA-F]{4,})", text)
    if not found:
        return None
    first, second = bytes.fromhex(found[1])[:2]
    return BootFlags(bool(first & 0x80), bool(first & 0x40), bool(first & 0x20), (second >> 2) & 0xF)


def parse_fields(text: str) -> Mapping[str, str]:
    """`Name : value` lines, without the empty values."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon and value.strip()}


def parse_bytes(text: str) -> bytes:
    """What `raw` prints: bytes in hex, with blanks and line ends between."""
    return bytes.fromhex("".join(text.split()))


def decode_guid(guid: bytes, known: str | None = None) -> str | None:
    """The UUID in a Get System GUID answer, or None when one could only guess it.

    BMCs send it in three byte orders: SMBIOS (what most send and what DMI shows), RFC 4122, IPMI (all reversed). It is
    the `known` UUID of the machine when that is one of the three; else the one that is a UUID at all, if no other is.
    """
    if len(guid) != _GUID:
        return None
    orders = [uuid.UUID(bytes_le=guid), uuid.UUID(bytes=guid), uuid.UUID(bytes=guid[::-1])]
    for order in orders:
        if same_uuid(str(order), known):
            return known
    proper = [u for u in orders if u.variant == uuid.RFC_4122 and u.version in range(1, 9) and uuids(str(u))]
    alike = all(same_uuid(str(proper[0]), str(other)) for other in proper)
    return str(proper[0]) if proper and alike else None
