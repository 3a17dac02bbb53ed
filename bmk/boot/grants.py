"""The permission to install one host once. Without an open grant nothing is ever installed."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from bmk.datacenter.resolve import Host
from bmk.errors import PreflightRefused
from bmk.journal import Event, Journal

Outcome = Literal["spent", "failed", "expired", "revoked"]

LIFETIME = 3600.0  # seconds; an image write over a slow link under emulation takes minutes, not hours

_COLUMNS = "id, host, attempt, body, opened, expires, claimed, ended, outcome"


@dataclass(frozen=True, slots=True)
class Grant:
    """One host, one attempt, one disk, one image. `opened`, `expires`, `claimed`, `ended`: seconds since the epoch.

    A grant is open until `expires`, or until it ended. The first claim takes it; a second machine, or the same one
    after a reset, gets nothing. `disk` is a DiskSelector as a dict; `confirmed` names the disk serial whose foreign
    data a person agreed to lose.
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

    def open_at(self, now: float) -> bool:
        return self.ended is None and now < self.expires


@dataclass(frozen=True, slots=True)
class Permission:
    """What a grant allows, before it is one. `image_sha256` is of the compressed bytes."""

    host: str
    macs: tuple[str, ...]
    uuid: str | None
    serial: str
    disk: dict[str, str | bool | None]
    confirmed: str | None
    image: str
    image_sha256: str
    attest: str


def permission(
    host: Host, image: tuple[str, str], *, uuid: str | None = None, confirmed: str | None = None
) -> Permission:
    """The permission to put `image` (artifact name, sha256) on the disk that the data center file selects for a host.

    `uuid` is the one its BMC reported; without it that of the file. `confirmed`: see Grant.
    """
    return Permission(
        host=host.name,
        macs=tuple(nic.mac for nic in host.nics),
        uuid=uuid or host.uuid,
        serial=host.serial,
        disk=host.disk.model_dump(mode="json"),
        confirmed=confirmed,
        image=image[0],
        image_sha256=image[1],
        attest="none",
    )


def open_grant(journal: Journal, wanted: Permission, now: float, lifetime: float = LIFETIME) -> Grant:
    """Open the one grant of a host, for `lifetime` seconds. PreflightRefused when one is open already."""
    expire(journal, now)
    grant_id = secrets.token_hex(16)
    body = json.dumps({k: v for k, v in asdict(wanted).items() if k != "host"}, sort_keys=True)
    try:
        with journal.transaction() as db:
            count = "SELECT coalesce(max(attempt), 0) + 1 FROM grants WHERE host = ?"
            attempt = db.execute(count, (wanted.host,)).fetchone()[0]
            db.execute(
                "INSERT INTO grants (id, host, attempt, body, opened, expires) VALUES (?,?,?,?,?,?)",
                (grant_id, wanted.host, attempt, body, now, now + lifetime),
            )
    except sqlite3.IntegrityError as error:
        raise PreflightRefused(
            "an install of this host is granted already",
            where=wanted.host,
            hint="let it finish, or take it back with bmk grant revoke",
        ) from error
    _tell(journal, "opened", wanted.host, grant_id, now)
    return get(journal, grant_id)


def get(journal: Journal, grant_id: str) -> Grant:
    """A grant, open or not. PreflightRefused when there never was one of that id."""
    rows = journal.query(f"SELECT {_COLUMNS} FROM grants WHERE id = ?", (grant_id,))  # noqa: S608 - constant columns
    if not rows:
        raise PreflightRefused("there is no such grant", where=grant_id, hint="run bmk grant list")
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
    query = f"SELECT {_COLUMNS} FROM grants WHERE ? IS NULL OR host = ? ORDER BY opened, attempt"  # noqa: S608 - constant
    return [_grant(row) for row in journal.query(query, (host, host))]


def claim(journal: Journal, grant_id: str, now: float) -> str:
    """Take an open grant and return the bearer token of the one who did; only its sha256 is kept.

    Atomic: of any number of claims, also from several processes, one succeeds. PreflightRefused for the others.
    """
    token = secrets.token_urlsafe(32)
    with journal.transaction() as db:
        taken = db.execute(
            "UPDATE grants SET claimed = ?, token_sha256 = ?"
            " WHERE id = ? AND claimed IS NULL AND ended IS NULL AND opened <= ? AND expires > ?",
            (now, _digest(token), grant_id, now, now),
        ).rowcount
    if taken != 1:
        what = "the grant is not open, or was claimed already"
        raise PreflightRefused(what, where=grant_id, hint="run bmk grant list")
    grant = get(journal, grant_id)
    _tell(journal, "claimed", grant.host, grant_id, now)
    return token


def authenticate(journal: Journal, grant_id: str, token: str) -> Grant | None:
    """The grant, open or ended, if `token` is the one that its claim was given; else None."""
    rows = journal.query("SELECT token_sha256 FROM grants WHERE id = ?", (grant_id,))
    stored = rows[0][0] if rows else None
    if not stored or not hmac.compare_digest(stored, _digest(token)):
        return None
    return get(journal, grant_id)


def end(journal: Journal, grant_id: str, outcome: Outcome, now: float) -> bool:
    """Close a grant for good. False when it was closed before.

    A finished install also spends a grant that expired while its image was being written: what is on the disk is a
    fact, and forgetting it would wipe the host once more.
    """
    late = " OR (outcome = 'expired' AND claimed IS NOT NULL)" if outcome == "spent" else ""
    with journal.transaction() as db:
        changed = db.execute(
            f"UPDATE grants SET ended = ?, outcome = ? WHERE id = ? AND (ended IS NULL{late})",  # noqa: S608 - constants
            (now, outcome, grant_id),
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
    """Take back the open grant of a host. False when there is none."""
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
