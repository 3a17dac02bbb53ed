"""The permission to install one host once. Without an open grant nothing is ever installed."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from bmk import permit
from bmk.datacenter.resolve import Host
from bmk.errors import PreflightRefused
from bmk.journal import Event, Journal
from bmk.journal.installation import begin

Outcome = Literal["spent", "failed", "expired", "revoked"]

LIFETIME = 3600.0  # seconds; an image write over a slow link under emulation takes minutes, not hours
GRACE = 600.0  # seconds after a grant ran out in which its claimer may still report that it is done, or repeat that

_COLUMNS = "id, host, attempt, body, opened, expires, claimed, ended, outcome"


class GrantedImage(NamedTuple):
    """An image artifact. `sha256` is of the compressed bytes, `raw_sha256` of the whole disk that they unpack to."""

    name: str
    sha256: str
    raw_sha256: str


@dataclass(frozen=True, slots=True)
class Grant:
    """One host, one attempt, one disk, one image. `opened`, `expires`, `claimed`, `ended`: seconds since the epoch.

    A grant is open until `expires`, or until it ended. The first claim takes it; a second machine, or the same one
    after a reset, is refused. `disk` is a DiskSelector as a dict; `confirmed` names the disk (`bmk.disks.names`) whose
    foreign data a person agreed to lose. `raw_sha256` is what the disk must read back as; empty in older grants.
    """

    id: str
    host: str
    attempt: int
    macs: tuple[str, ...]
    uuid: str | None
    serial: str
    disk: dict[str, str | bool | None]
    confirmed: str | None
    image: str  # name of the image artifact
    image_sha256: str  # of the compressed bytes
    attest: str  # the way by which the ramdisk proves itself
    opened: float
    expires: float
    claimed: float | None = None
    ended: float | None = None
    outcome: Outcome | None = None
    raw_sha256: str = ""

    def open_at(self, now: float) -> bool:
        return self.ended is None and now < self.expires

    def may_finish(self, now: float) -> bool:
        """Whether its claimer may report success: while it is open, and shortly after it ran out during the write."""
        running = self.ended is None or self.outcome == "expired"
        return self.claimed is not None and running and now < self.expires + GRACE

    def ended_as(self, outcome: Outcome, now: float) -> bool:
        """Whether it ended with this outcome just now: a claimer that did not receive the answer repeats its report."""
        return self.outcome == outcome and self.ended is not None and now < self.ended + GRACE


@dataclass(frozen=True, slots=True)
class Permission:
    """What a grant will permit, before it is opened. `image_sha256` is of the compressed bytes."""

    host: str
    macs: tuple[str, ...]
    uuid: str | None
    serial: str
    disk: dict[str, str | bool | None]
    confirmed: str | None
    image: str
    image_sha256: str
    attest: str
    raw_sha256: str = ""


def permission(host: Host, image: GrantedImage, *, uuid: str | None = None, confirmed: str | None = None) -> Permission:
    """The permission to put an image on the disk that the data center file selects for a host.

    `uuid` is the one its BMC reported; that of the file comes first. `confirmed`: see Grant.
    """
    return Permission(
        host=host.name,
        macs=tuple(nic.mac for nic in host.nics),
        uuid=host.uuid or uuid,
        serial=host.serial,
        disk=host.disk.model_dump(mode="json"),
        confirmed=confirmed,
        image=image.name,
        image_sha256=image.sha256,
        attest=host.profile.attestation.way,
        raw_sha256=image.raw_sha256,
    )


def open_grant(journal: Journal, wanted: Permission, now: float, lifetime: float = LIFETIME) -> Grant:
    """Open the one grant of a host, for `lifetime` seconds. PreflightRefused when one is open already.

    Revoked for a call that was cancelled meanwhile.
    """
    grant_id = secrets.token_hex(16)
    body = json.dumps({k: v for k, v in asdict(wanted).items() if k != "host"}, sort_keys=True)
    with journal.transaction() as db:
        permit.demand()  # within, so that no run takes the lock between the answer and the grant
        expire(journal, now)
        count = "SELECT coalesce(max(attempt), 0) + 1 FROM grants WHERE host = ?"
        attempt = db.execute(count, (wanted.host,)).fetchone()[0]
        opened = db.execute(
            "INSERT INTO grants (id, host, attempt, body, opened, expires) VALUES (?,?,?,?,?,?) ON CONFLICT DO NOTHING",
            (grant_id, wanted.host, attempt, body, now, now + lifetime),
        ).rowcount
        if opened:
            _tell(journal, "opened", wanted.host, grant_id, now)
    if not opened:
        raise PreflightRefused(
            "an install of this host is granted already",
            where=wanted.host,
            hint="let it finish, or take it back: bmk grant revoke DC HOST",
        )
    return get(journal, grant_id)


def get(journal: Journal, grant_id: str) -> Grant:
    """A grant, open or not. PreflightRefused when there never was one of that id."""
    rows = journal.query(f"SELECT {_COLUMNS} FROM grants WHERE id = ?", (grant_id,))  # noqa: S608 - constant columns
    if not rows:
        raise PreflightRefused("there is no such grant", where=grant_id, hint="bmk grant list DC")
    return _grant(rows[0])


def current(journal: Journal, host: str, now: float) -> Grant | None:
    """The open grant of a host, claimed or not; None when nothing is granted now."""
    query = f"SELECT {_COLUMNS} FROM grants WHERE host = ? AND ended IS NULL AND expires > ?"  # noqa: S608 - constant
    rows = journal.query(query, (host, now))
    return _grant(rows[0]) if rows else None


def latest(journal: Journal, host: str) -> Grant | None:
    """The newest grant of a host, open or not: its outcome explains why a machine is answered as it is."""
    query = f"SELECT {_COLUMNS} FROM grants WHERE host = ? ORDER BY attempt DESC LIMIT 1"  # noqa: S608 - constant
    rows = journal.query(query, (host,))
    return _grant(rows[0]) if rows else None


def listed(journal: Journal, host: str | None = None) -> list[Grant]:
    """All grants, oldest first; of one host when it is named."""
    of, values = ("", ()) if host is None else ("WHERE host = ?", (host,))
    query = f"SELECT {_COLUMNS} FROM grants {of} ORDER BY opened, attempt"  # noqa: S608 - constants
    return [_grant(row) for row in journal.query(query, values)]


@dataclass(frozen=True, slots=True)
class Taken:
    """How a grant was claimed: from which address, with which request and answer, as JSON texts. `claim` has the facts
    of the machine, without its token; `spec` is the answer.
    """

    client: str
    claim: str
    spec: str


def claim(journal: Journal, grant_id: str, token: str, taken: Taken, now: float) -> Taken:
    """Take an open grant for the machine that made up `token`, of which only the sha256 is kept.

    Atomic: of any number of claims, also from several processes, one succeeds. The same claim again (token, body and
    address) comes from the same machine, which did not receive the answer: the stored answer is returned.
    PreflightRefused for everybody else.
    """
    with journal.transaction() as db:
        first = db.execute(
            "UPDATE grants SET claimed = ?, token_sha256 = ?, client = ?, claim = ?, spec = ? WHERE id = ?"
            " AND claimed IS NULL AND ended IS NULL AND opened <= ? AND expires > ? RETURNING host",
            (now, _digest(token), taken.client, taken.claim, taken.spec, grant_id, now, now),
        ).fetchall()
        if first:
            _tell(journal, "claimed", first[0][0], grant_id, now)
            return taken
    grant, before = claimant(journal, grant_id, token, taken.client), how_taken(journal, grant_id)
    if grant is None or before is None or not grant.open_at(now) or before.claim != taken.claim:
        what = "the grant is not open, or was claimed already by another machine or another start of this one"
        raise PreflightRefused(what, where=grant_id, hint="bmk grant list DC")
    return before


def claimant(journal: Journal, grant_id: str, token: str, client: str) -> Grant | None:
    """The grant, open or ended, if it was claimed with `token` and from the address `client`; else None."""
    rows = journal.query("SELECT token_sha256, client FROM grants WHERE id = ?", (grant_id,))
    stored, claimed_from = rows[0] if rows else (None, None)
    if not stored or claimed_from != client or not hmac.compare_digest(stored, _digest(token)):
        return None
    return get(journal, grant_id)


def how_taken(journal: Journal, grant_id: str) -> Taken | None:
    """How a grant was claimed; None when it was not."""
    rows = journal.query("SELECT client, claim, spec FROM grants WHERE id = ? AND claim IS NOT NULL", (grant_id,))
    return Taken(*rows[0]) if rows else None


def finish(journal: Journal, grant_id: str, proven: Mapping[str, Any], now: float) -> bool:
    """Spend a grant and begin the record of what its install proved (`installed`, `host_keys`), both or neither.

    False, and nothing is recorded, unless its claimer may still report and it is the newest grant of its host: pinned
    keys are never replaced without a new grant.
    """
    with journal.transaction() as db:
        grant = get(journal, grant_id)
        newest = latest(journal, grant.host)
        if not grant.may_finish(now) or newest is None or newest.id != grant_id:
            return False
        db.execute("UPDATE grants SET ended = ?, outcome = 'spent' WHERE id = ?", (now, grant_id))
        begin(journal, grant.host, proven)
        _tell(journal, "spent", grant.host, grant_id, now)
    return True


def end(journal: Journal, grant_id: str, outcome: Outcome, now: float) -> bool:
    """Close a grant for good. False when it was closed before."""
    with journal.transaction() as db:
        changed = db.execute(
            "UPDATE grants SET ended = ?, outcome = ? WHERE id = ? AND ended IS NULL", (now, outcome, grant_id)
        ).rowcount
        if changed:
            _tell(journal, outcome, get(journal, grant_id).host, grant_id, now)
    return bool(changed)


def expire(journal: Journal, now: float) -> list[str]:
    """Close every grant whose time is over and return the names of their hosts."""
    with journal.transaction() as db:
        over = db.execute(
            "UPDATE grants SET ended = ?, outcome = 'expired' WHERE ended IS NULL AND expires <= ? RETURNING host, id",
            (now, now),
        ).fetchall()
        for host, grant_id in over:
            _tell(journal, "expired", host, grant_id, now)
    return [host for host, _ in over]


def revoke(journal: Journal, host: str, now: float) -> bool:
    """Take back the open grant of a host. False when there is none. Revoked for a call that was cancelled meanwhile."""
    with journal.transaction():
        permit.demand()
        grant = current(journal, host, now)
        return grant is not None and end(journal, grant.id, "revoked", now)


def _tell(journal: Journal, what: str, host: str, grant_id: str, now: float) -> None:
    data = {"grant": grant_id}
    journal.append(Event("bmk", f"grant.{what}", f"grant {grant_id} {what}", host=host, data=data, at=now))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _grant(row: tuple[Any, ...]) -> Grant:
    grant_id, host, attempt, body, *times = row
    fields: Mapping[str, Any] = json.loads(body)
    opened, expires, claimed, ended, outcome = times
    return Grant(
        id=grant_id,
        host=host,
        attempt=attempt,
        **{"attest": "none", **fields, "macs": tuple(fields["macs"])},  # grants that are over may be older than proofs
        opened=opened,
        expires=expires,
        claimed=claimed,
        ended=ended,
        outcome=outcome,
    )
