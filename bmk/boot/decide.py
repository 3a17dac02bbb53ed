"""What a machine boots: one pure function that every boot route asks. In doubt the answer is the local disk."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from bmk.boot.grants import Grant

# What vendors leave in the serial number field when they mean "nothing".
_NO_SERIAL = frozenset(
    ("", "none", "unknown", "default string", "not specified", "system serial number", "to be filled by o.e.m.")
)
_UUID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a machine says about itself: firmware through iPXE, or the ramdisk from DMI tables and permanent MACs.

    `complete` is for the ramdisk, which can read everything: there, a fact that the grant names and the machine does
    not report is a mismatch. iPXE may leave UUID and serial empty; its MAC is always known. `own_address`: the request
    came from an address that speaks for the host's MAC (`Desk.speaks_for`).
    """

    macs: tuple[str, ...]
    uuid: str | None = None
    serial: str | None = None
    complete: bool = False
    own_address: bool = False


@dataclass(frozen=True, slots=True)
class Install:
    """Boot the installer under this grant."""

    grant: Grant
    reason: str


@dataclass(frozen=True, slots=True)
class Local:
    """Boot the local disk. `reason` is for the journal, never for the machine."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """A grant is open, but not for this machine: boot the local disk and tell people.

    `reason` and `hint` are for the journal: they name what was expected, which a stranger would repeat.
    """

    reason: str
    hint: str


Decision = Install | Local | Refuse


def decide(facts: Facts, grant: Grant | None, now: float) -> Decision:
    """Install only under an open, unclaimed grant for exactly this machine. `now` in seconds since the epoch."""
    closed = _closed(grant, now)
    if closed or grant is None:
        return Local(closed)
    stranger = _stranger(facts, grant)
    if stranger:
        return Refuse(stranger, f"compare the BMC of {grant.host} with dc.yml, then run bmk plan again")
    return Install(grant, f"attempt {grant.attempt} of {grant.host} is granted")


def may_write(grant: Grant, now: float, claimer: bool) -> Decision:
    """The image's bytes: only while a grant is open, and only for who claimed it (`claimer`: by address and token)."""
    if grant.claimed is None:
        return Local("nobody claimed this grant")
    if not claimer:
        return Refuse("this is not the machine that claimed the grant", f"run bmk why for {grant.host}")
    closed = _closed(replace(grant, claimed=None), now)
    return Local(closed) if closed else Install(grant, f"attempt {grant.attempt} of {grant.host} is being written")


def _closed(grant: Grant | None, now: float) -> str:
    """Why the grant opens nothing; "" when it is open and nobody took it."""
    if grant is None:
        return "no install is granted"
    if grant.ended is not None:
        return f"grant {grant.id} is {grant.outcome or 'ended'}"
    if not grant.opened <= now < grant.expires:
        return f"grant {grant.id} is not valid now (expired, or the clock moved)"
    if grant.claimed is not None:
        return f"grant {grant.id} was claimed already"
    return ""


def _stranger(facts: Facts, grant: Grant) -> str:
    """Why this is not the machine of the grant; "" when it is."""
    if not facts.own_address:
        return f"the request does not come from an address of {grant.host}"
    macs = {mac.lower().replace("-", ":") for mac in facts.macs}
    if not macs & set(grant.macs):
        return f"no MAC of the machine ({', '.join(sorted(macs)) or 'none reported'}) belongs to {grant.host}"
    if _differ(_uuids(facts.uuid), _uuids(grant.uuid), facts.complete):
        return f"the machine's UUID is {facts.uuid or 'missing'}, that of {grant.host} is {grant.uuid}"
    if _differ(_serials(facts.serial), _serials(grant.serial), facts.complete):
        return f"the machine's serial is {facts.serial or 'missing'}, that of {grant.host} is {grant.serial}"
    return ""


def _differ(seen: frozenset[str], wanted: frozenset[str], complete: bool) -> bool:
    """Both known and nothing in common; or wanted and missing where everything can be read."""
    if not wanted:
        return False
    return not seen & wanted if seen else complete


def same_uuid(one: str | None, other: str | None) -> bool | None:
    """Whether two UUIDs are of one machine; None when one of them says nothing."""
    first, second = _uuids(one), _uuids(other)
    return bool(first & second) if first and second else None


def same_serial(one: str | None, other: str | None) -> bool | None:
    """Whether two serial numbers are of one machine; None when one of them says nothing."""
    first, second = _serials(one), _serials(other)
    return bool(first & second) if first and second else None


def _serials(text: str | None) -> frozenset[str]:
    serial = " ".join((text or "").lower().split())
    return frozenset() if serial in _NO_SERIAL else frozenset({serial})


def _uuids(text: str | None) -> frozenset[str]:
    """The UUID as said and with its first three fields swapped: SMBIOS before 2.6 left their byte order open, and many
    BMCs still disagree with DMI tables about it."""
    digits = (text or "").lower().replace("-", "")
    if not _UUID.fullmatch(digits) or len(set(digits)) == 1:
        return frozenset()
    raw = bytes.fromhex(digits)
    swapped = raw[3::-1] + raw[5:3:-1] + raw[7:5:-1] + raw[8:]
    return frozenset({raw.hex(), swapped.hex()})
