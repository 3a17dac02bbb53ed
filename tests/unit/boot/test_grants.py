"""Grants on a real journal file: opened once, claimed once, ended once, whatever comes in which order."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from bmk.boot import grants
from bmk.boot.decide import Facts, Install, decide
from bmk.boot.grants import Permission
from bmk.errors import PreflightRefused
from bmk.journal import Journal

Wanted = Callable[[str], Permission]


def test_one_host_has_one_open_grant(journal: Journal, wanted: Wanted) -> None:
    """A second grant for a host is refused with the way out, and the first stays as it was."""
    first = grants.open_grant(journal, wanted("cp-1"), 100.0)
    with pytest.raises(PreflightRefused) as refused:
        grants.open_grant(journal, wanted("cp-1"), 101.0)
    assert "revoke" in refused.value.hint
    assert grants.current(journal, "cp-1", 102.0) == first


def test_a_grant_says_what_was_permitted(journal: Journal, wanted: Wanted) -> None:
    """Host, MACs, serial, disk and image of a stored grant are those of the permission."""
    grant = grants.open_grant(journal, wanted("cp-1"), 100.0, lifetime=60.0)
    assert (grant.host, grant.serial, grant.attempt) == ("cp-1", "SN-0001", 1)
    assert grant.macs == ("52:54:00:20:00:11", "52:54:00:20:01:11")
    assert grant.disk["serial"] == "DISK-0001"
    assert (grant.opened, grant.expires) == (100.0, 160.0)


def test_attempts_are_counted(journal: Journal, wanted: Wanted) -> None:
    """Every further grant of a host is one attempt more, and the newest is the one that counts."""
    for attempt in (1, 2, 3):
        grant = grants.open_grant(journal, wanted("cp-1"), 100.0)
        assert grant.attempt == attempt
        assert grants.end(journal, grant.id, "failed", 101.0)
    latest = grants.latest(journal, "cp-1")
    assert latest is not None
    assert latest.attempt == 3


def test_only_the_digest_of_a_token_is_stored(journal: Journal, wanted: Wanted) -> None:
    """The bearer token cannot be found in any file of the journal, and only it authenticates."""
    grant = grants.open_grant(journal, wanted("cp-1"), 100.0)
    token = grants.claim(journal, grant.id, 101.0)
    assert grants.authenticate(journal, grant.id, token) is not None
    assert grants.authenticate(journal, grant.id, token[:-1]) is None
    assert grants.authenticate(journal, grant.id, "") is None
    for file in journal.path.parent.iterdir():
        assert token.encode() not in file.read_bytes()


def test_a_grant_that_nobody_claimed_authenticates_nobody(journal: Journal, wanted: Wanted) -> None:
    """Before the claim there is no token, not even an empty one."""
    grant = grants.open_grant(journal, wanted("cp-1"), 100.0)
    assert grants.authenticate(journal, grant.id, "") is None


def test_a_finished_install_spends_a_grant_that_expired_meanwhile(journal: Journal, wanted: Wanted) -> None:
    """What is on the disk is a fact: a slow write is not forgotten, and an unclaimed expired grant stays expired."""
    slow = grants.open_grant(journal, wanted("cp-1"), 100.0, lifetime=10.0)
    grants.claim(journal, slow.id, 105.0)
    idle = grants.open_grant(journal, wanted("worker-1"), 100.0, lifetime=10.0)
    assert sorted(grants.expire(journal, 200.0)) == ["cp-1", "worker-1"]
    assert grants.end(journal, slow.id, "spent", 201.0)
    assert not grants.end(journal, idle.id, "spent", 201.0)
    assert grants.get(journal, slow.id).outcome == "spent"


def test_every_change_is_told(journal: Journal, wanted: Wanted) -> None:
    """Opening, claiming and ending a grant are events of its host, in order."""
    grant = grants.open_grant(journal, wanted("cp-1"), 100.0)
    grants.claim(journal, grant.id, 101.0)
    grants.end(journal, grant.id, "spent", 102.0)
    kinds = [event.kind for event in journal.since(host="cp-1", kind="grant.")]
    assert kinds == ["grant.opened", "grant.claimed", "grant.spent"]


def test_revoking_closes_the_open_grant(journal: Journal, wanted: Wanted) -> None:
    """A revoked grant cannot be claimed; revoking nothing says so."""
    grant = grants.open_grant(journal, wanted("cp-1"), 100.0)
    assert grants.revoke(journal, "cp-1", 101.0)
    assert not grants.revoke(journal, "cp-1", 102.0)
    with pytest.raises(PreflightRefused):
        grants.claim(journal, grant.id, 103.0)


def _claim(path: Path, grant_id: str) -> str:
    try:
        return grants.claim(Journal(path), grant_id, 101.0)
    except PreflightRefused:
        return ""


def test_of_many_claims_at_once_one_wins(journal: Journal, wanted: Wanted) -> None:
    """Claims race from several processes on the same file; exactly one gets a token."""
    grant = grants.open_grant(journal, wanted("cp-1"), 100.0)
    with ProcessPoolExecutor(4) as pool:
        tokens = list(pool.map(_claim, [journal.path] * 16, [grant.id] * 16))
    won = [token for token in tokens if token]
    assert len(won) == 1
    assert grants.authenticate(journal, grant.id, won[0]) is not None


class GrantsInAnyOrder(RuleBasedStateMachine):
    """Any sequence of calls, with time moving on, against the two promises that matter."""

    opened = Bundle("opened")

    def __init__(self) -> None:
        super().__init__()
        self.room = tempfile.TemporaryDirectory()
        self.journal = Journal(Path(self.room.name) / "journal.db")
        self.now = 1000.0
        self.claims: dict[str, int] = {}

    def teardown(self) -> None:
        self.journal.close()
        self.room.cleanup()

    @rule(seconds=st.sampled_from([1.0, 5.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=opened, host=st.sampled_from(["a", "b"]), lifetime=st.sampled_from([0.5, 10.0, 60.0]))
    def open(self, host: str, lifetime: float) -> str:
        wanted = Permission(host, (f"mac-{host}",), None, host, {}, None, "node-image", "a" * 64, "none")
        try:
            return grants.open_grant(self.journal, wanted, self.now, lifetime).id
        except PreflightRefused:
            return "none"

    @rule(grant=opened)
    def claim(self, grant: str) -> None:
        try:
            grants.claim(self.journal, grant, self.now)
        except PreflightRefused:
            return
        self.claims[grant] = self.claims.get(grant, 0) + 1
        assert self.claims[grant] == 1

    @rule(grant=opened, outcome=st.sampled_from(["spent", "failed", "revoked"]))
    def end(self, grant: str, outcome: grants.Outcome) -> None:
        grants.end(self.journal, grant, outcome, self.now)

    @rule()
    def expire(self) -> None:
        grants.expire(self.journal, self.now)

    @invariant()
    def only_open_unclaimed_grants_install(self) -> None:
        for host in ("a", "b"):
            found = grants.latest(self.journal, host)
            decision = decide(Facts((f"mac-{host}",), None, host), found, self.now)
            if isinstance(decision, Install):
                assert decision.grant.open_at(self.now)
                assert decision.grant.id not in self.claims

    @invariant()
    def one_open_grant_per_host(self) -> None:
        rows = self.journal.query("SELECT host FROM grants WHERE ended IS NULL")
        assert len(rows) == len(set(rows))


TestGrantsInAnyOrder = GrantsInAnyOrder.TestCase
TestGrantsInAnyOrder.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def test_the_database_itself_refuses_a_second_open_grant(journal: Journal, wanted: Wanted) -> None:
    """One open grant per host does not hang on our code: the table's index says so too."""
    grants.open_grant(journal, wanted("cp-1"), 100.0)
    with pytest.raises(sqlite3.IntegrityError), journal.transaction() as db:
        db.execute("INSERT INTO grants (id, host, attempt, body, opened, expires) VALUES ('x','cp-1',9,'{}',1,2)")
