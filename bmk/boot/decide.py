"""What a machine boots: one pure function that every boot route asks. In doubt the answer is the local disk."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bmk.boot.grants import Grant
from bmk.identity import mac_of, serials, uuids


@dataclass(frozen=True, slots=True)
class BootFacts:
    """What a machine says about itself: firmware through iPXE, or the ramdisk from DMI tables and permanent MACs.

    `complete` is for the ramdisk, which can read everything: there, a fact that the grant names and the machine does
    not report is a mismatch. iPXE may leave UUID and serial empty; its MAC is always known. `own_address`: the request
    came from an address that speaks for the host's MAC (`RequestContext.speaks_for`).
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

    `reason` and `hint` are for the journal: they name what was expected, which an attacker could repeat.
    """

    reason: str
    hint: str


Decision = Install | Local | Refuse


def decide(facts: BootFacts, grant: Grant | None, now: float) -> Decision:
    """Install only under an open, unclaimed grant for exactly this machine. `now` in seconds since the epoch."""
    closed = _closed(grant, now)
    if closed or grant is None:
        return Local(closed)
    stranger = _stranger(facts, grant)
    if stranger:
        return Refuse(stranger, _hint(facts, grant))
    return Install(grant, f"attempt {grant.attempt} of {grant.host} is granted")


def may_write(grant: Grant, now: float, claimer: bool) -> Decision:
    """Whether the image may be read: while the grant is open, by its claimer (`claimer`: by address and token)."""
    if grant.claimed is None:
        return Local("nobody claimed this grant")
    if not claimer:
        return Refuse("this is not the machine that claimed the grant", f"run bmk why for {grant.host}")
    closed = _closed(replace(grant, claimed=None), now)
    return Local(closed) if closed else Install(grant, f"attempt {grant.attempt} of {grant.host} is being written")


def _closed(grant: Grant | None, now: float) -> str:
    """Why the grant permits nothing; "" when it is open and unclaimed."""
    if grant is None:
        return "no install is granted"
    if grant.ended is not None:
        return f"grant {grant.id} is {grant.outcome or 'ended'}"
    if not grant.opened <= now < grant.expires:
        return f"grant {grant.id} is not valid now (expired, or the clock moved)"
    if grant.claimed is not None:
        return f"grant {grant.id} was claimed already"
    return ""


def _stranger(facts: BootFacts, grant: Grant) -> str:
    """Why the facts are not those of the grant's machine; "" when they are."""
    if not facts.own_address:
        return f"the request does not come from an address of {grant.host}"
    macs = set(filter(None, map(mac_of, facts.macs)))
    if not macs & set(grant.macs):
        return f"no MAC of the machine ({', '.join(sorted(macs)) or 'none reported'}) belongs to {grant.host}"
    if _differ(uuids(facts.uuid), uuids(grant.uuid), facts.complete):
        return f"the machine's UUID is {facts.uuid or 'missing'}, that of {grant.host} is {grant.uuid}"
    if _differ(serials(facts.serial), serials(grant.serial), facts.complete):
        return f"the machine's serial is {facts.serial or 'missing'}, that of {grant.host} is {grant.serial}"
    if not serials(grant.serial) and not uuids(grant.uuid):
        return f"{grant.host} has neither serial nor UUID to know it by: a MAC alone is never enough"
    return ""


def _hint(facts: BootFacts, grant: Grant) -> str:
    """What to do when the refused machine may be the right one."""
    if facts.complete and serials(grant.serial) and not serials(facts.serial):
        return f"if its DMI tables hold no serial: `serial: none` and its uuid for {grant.host} in dc.yml"
    return f"compare the BMC of {grant.host} with dc.yml, then: bmk plan DC"


def _differ(seen: frozenset[str], wanted: frozenset[str], complete: bool) -> bool:
    """Both known and nothing in common; or wanted and missing where everything can be read."""
    if not wanted:
        return False
    return not seen & wanted if seen else complete
