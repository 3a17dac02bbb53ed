"""Secrets of grants: private files that live as long as their grants."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from bmk.agent.proof import NONCE, ProofKey
from bmk.boot import grants
from bmk.boot.attestation import NotYet, Sent, Unproven, check
from bmk.boot.grants import Grant, Permission
from bmk.boot.nonces import GRACE, Nonces
from bmk.errors import PreflightRefused
from bmk.journal import Journal

Wanted = Callable[[str], Permission]
ID = "0123456789abcdef" * 2


def test_a_secret_is_made_once_and_private(tmp_path: Path) -> None:
    """A run that was killed goes on with the same; nobody else can read file or directory."""
    nonces = Nonces(tmp_path / "boot" / "nonces")
    assert nonces.get(ID) is None
    made = nonces.made(ID)
    assert len(made) == NONCE
    assert nonces.made(ID) == made == nonces.get(ID)
    assert stat.S_IMODE((tmp_path / "boot" / "nonces").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "boot" / "nonces" / ID).stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "boot" / "nonces").iterdir()] == [ID]


def test_of_many_writers_one_stores_its_nonce(tmp_path: Path) -> None:
    """Two processes that keep a secret at once agree on one of them."""
    nonces, seen = Nonces(tmp_path), []
    threads = [threading.Thread(target=lambda: seen.append(nonces.made(ID))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 1


@pytest.mark.parametrize("odd", ["../../etc/passwd", "", "x" * 32, f"{ID}/x", ID[:-1]])
def test_only_a_grant_names_a_file(tmp_path: Path, odd: str) -> None:
    """An id comes from the network: what is none opens no file."""
    with pytest.raises(PreflightRefused, match="no such grant"):
        Nonces(tmp_path).get(odd)


def test_secrets_are_removed_with_their_grants(journal: Journal, wanted: Wanted) -> None:
    """Kept while the grant is open and for a last repeated report; gone afterwards, and when there is no grant."""
    nonces = Nonces.of(journal)
    grant = grants.open_grant(journal, wanted("cp-1"), 100.0)
    kept = nonces.made(grant.id)
    nonces.made(ID)
    nonces.sweep(journal, 200.0)
    assert (nonces.get(grant.id), nonces.get(ID)) == (kept, None)
    grants.end(journal, grant.id, "failed", 300.0)
    nonces.sweep(journal, 300.0 + GRACE)
    assert nonces.get(grant.id) == kept
    nonces.sweep(journal, 301.0 + GRACE)
    assert nonces.get(grant.id) is None


def _grant(journal: Journal, wanted: Wanted, way: str) -> Grant:
    permission = wanted("cp-1")
    fields = {name: getattr(permission, name) for name in permission.__slots__}
    return grants.open_grant(journal, Permission(**{**fields, "attest": way}), 100.0)


@pytest.mark.parametrize("way", ["mailbox", "media", "console"])
def test_a_request_is_proven_by_the_secret_only(journal: Journal, wanted: Wanted, way: str) -> None:
    """The right proof of these very bytes; no proof, an odd one, one of other bytes, another verb or another secret."""
    nonces, grant = Nonces.of(journal), _grant(journal, wanted, way)
    key = ProofKey.derive(nonces.made(grant.id), grant.id)
    assert check(nonces, grant, Sent("claim", b"facts", key.request("claim", b"facts"))) == key
    stranger = ProofKey.derive(bytes(NONCE), grant.id)
    others = [key.request("claim", b"other"), key.request("done", b"facts"), stranger.request("claim", b"facts")]
    for proof in ["", "ä" * 64, *others]:
        with pytest.raises(Unproven):
            check(nonces, grant, Sent("claim", b"facts", proof))


@pytest.mark.parametrize(("way", "refusal"), [("mailbox", Unproven), ("media", Unproven), ("console", NotYet)])
def test_without_a_secret_no_request_is_proven(
    journal: Journal, wanted: Wanted, way: str, refusal: type[Exception]
) -> None:
    """Nothing was delivered: nothing proves anything. By console it may still come, so the machine asks again."""
    grant = _grant(journal, wanted, way)
    with pytest.raises(refusal):
        check(
            Nonces.of(journal), grant, Sent("claim", b"", ProofKey.derive(bytes(NONCE), grant.id).request("claim", b""))
        )


def test_a_grant_without_attestation_has_no_proofs(journal: Journal, wanted: Wanted) -> None:
    """The exception: answers are not proven either, so that nobody takes them for it."""
    assert check(Nonces.of(journal), _grant(journal, wanted, "none"), Sent("claim", b"facts", "")) is None
