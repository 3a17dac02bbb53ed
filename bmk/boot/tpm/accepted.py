"""Which TPM a host has: what machines presented, and the one endorsement key that a person accepted. In the journal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from bmk.boot import grants
from bmk.datacenter.resolve import Host
from bmk.errors import PreflightRefused
from bmk.journal import Event, Journal

_ACCEPTED, _SEEN = "tpm_accepted", "tpm_seen"  # records of a host
_MOST = 8  # presented keys that are kept of a host, the newest


@dataclass(frozen=True, slots=True)
class Seen:
    """An endorsement key, presented from an address of the host. `at`: seconds since the epoch.

    `ek`: digest of the public key; `issuer`: whom its certificate names, unchecked, "" without one; `client` and `mac`:
    where the question came from.
    """

    ek: str
    issuer: str
    client: str
    mac: str
    at: float


def accepted(journal: Journal, host: str) -> str | None:
    """Digest of the endorsement key that was accepted for a host."""
    record = journal.facts(host).get(_ACCEPTED)
    return str(record["ek"]) if record else None


def accepted_at(journal: Journal) -> dict[str, tuple[str, float]]:
    """Host -> digest that was accepted for it, and when."""
    return {host: (record["ek"], record["at"]) for host, record in journal.records(_ACCEPTED).items()}


def seen(journal: Journal, host: str) -> list[Seen]:
    """What was presented for a host, the newest last."""
    return [Seen(**one) for one in journal.facts(host).get(_SEEN) or ()]


def remember(journal: Journal, host: str, new: Seen) -> None:
    """Keep what was presented: for a person to accept, and for `bmk tpm list`."""
    with journal.transaction():
        kept: list[dict[str, Any]] = [asdict(one) for one in seen(journal, host) if one.ek != new.ek]
        journal.record(host, _SEEN, [*kept, asdict(new)][-_MOST:])


def accept(journal: Journal, host: str, ek: str, now: float) -> None:
    """Accept the TPM with this endorsement key as the host's only one. An open grant ends: another TPM may have been
    proven for it. PreflightRefused for a key that is another host's.
    """
    with journal.transaction():
        others = (name for name, (digest, _) in accepted_at(journal).items() if digest == ek and name != host)
        if (other := next(others, None)) is not None:
            raise PreflightRefused(
                f"this TPM was accepted as that of {other}",
                where=host,
                why=f"endorsement key {ek}",
                hint=f"if the board has moved, take it from {other} first: bmk tpm refuse DC {other}",
            )
        before = accepted(journal, host)
        if before == ek:
            return
        journal.record(host, _ACCEPTED, {"ek": ek, "at": now})
        text = f"the TPM with the endorsement key {ek} was accepted" + (f" instead of {before}" if before else "")
        journal.append(Event("bmk", "tpm.accepted", text, host=host, data={"ek": ek, "before": before}, at=now))
        if before:
            _end_unclaimed(journal, host, now)


def refuse(journal: Journal, host: str, now: float) -> bool:
    """Remove the accepted key and all that were presented; an open grant ends. False: there was nothing."""
    with journal.transaction():
        before, known = accepted(journal, host), seen(journal, host)
        journal.forget(host, _ACCEPTED)
        journal.forget(host, _SEEN)
        if before:
            text = f"the TPM with the endorsement key {before} is not accepted any more"
            journal.append(Event("bmk", "tpm.refused", text, host=host, data={"ek": before}, at=now))
            _end_unclaimed(journal, host, now)
    return bool(before or known)


def _end_unclaimed(journal: Journal, host: str, now: float) -> None:
    """End the host's open grant: the TPM that was accepted before may have answered its challenge."""
    grant = grants.current(journal, host, now)
    if grant is not None and grant.attest == "tpm" and grant.claimed is None:
        grants.end(journal, grant.id, "revoked", now)


def waiting(journal: Journal | None, hosts: Iterable[Host], dc: str) -> str:
    """Which of these hosts cannot be installed before somebody accepts their TPM, in one line; "" for none."""
    known = accepted_at(journal) if journal is not None else {}
    names = [host.name for host in hosts if host.profile.attestation.way == "tpm" and host.name not in known]
    if not names:
        return ""
    who = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"no TPM is accepted yet of {who}: the first attempt shows it, then: bmk tpm accept {dc} HOST"
