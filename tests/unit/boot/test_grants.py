"""Grants on a real journal file: opened once, claimed once, ended once, whatever comes in which order."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from bmk.boot import grants
from bmk.boot.decide import BootFacts, Install, decide
from bmk.boot.grants import GRACE, Permission, Taken
from bmk.errors import PreflightRefused, Revoked
from bmk.journal import Conflict, Journal
from bmk.permit import permitted

Wanted = Callable[[str], Permission]
HOME, TOKEN = "10.20.0.11", "t" * 43


def take(
    journal: Journal, grant_id: str, now: float, *, token: str = TOKEN, client: str = HOME, claim: str = "{}"
) -> Taken:
    return grants.claim(journal, grant_id, token, Taken(client, claim, '{"spec": 1}'), now)


def test_one_host_has_one_open_grant(journal: Journal, wanted: Wanted) -> None:
    """A second grant for a host is refused with the way out, and the first stays as it was."""
    first = grants.open_grant(journal, wanted("cp-1"), 100.0)
    with pytest.raises(PreflightRefused) as refused:
        grants.open_grant(journal, wanted("cp-1"), 101.0)
    assert "revoke" in refused.value.hint
    assert grants.current(journal, "cp-1", 102.0) == first


def test_a_cancelled_call_neither_opens_nor_revokes(journal: Journal, wanted: Wanted) -> None:
    """A thread that outlived its deadline leaves the grants alone: by then they may be those of the next run."""
    with permitted() as permit:
        permit.revoke()
        with pytest.raises(Revoked):
            grants.open_grant(journal, wanted("cp-1"), 100.0)
        assert grants.current(journal, "cp-1", 101.0) is None
    grants.open_grant(journal, wanted("cp-1"), 102.0)
    with permitted() as permit:
        permit.revoke()
        with pytest.raises(Revoked):
            grants.revoke(journal, "cp-1", 103.0)
    assert grants.current(journal, "cp-1", 104.0) is not None


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
    """The bearer token is in no file of the journal, and only it lets its claimer in, and only from its address."""
    grant = grants.open_grant(journal, wanted("cp-1"), 100.0)
    take(journal, grant.id, 101.0)
    assert grants.claimant(journal, grant.id, TOKEN, HOME) is not None
    assert grants.claimant(journal, grant.id, TOKEN, "10.20.0.12") is None
    assert grants.claimant(journal, grant.id, TOKEN[:-1], HOME) is None
    assert grants.claimant(journal, grant.id, "", HOME) is None
    for file in journal.state.iterdir():
        assert TOKEN.encode() not in file.read_bytes()


def test_a_grant_that_nobody_claimed_has_no_claimer(journal: Journal, wanted: Wanted) -> None:
    """Before the claim there is no token, not even an empty one."""
    grant = grants.open_grant(journal, wanted("cp-1"), 100.0)
    assert grants.claimant(journal, grant.id, "", "") is None


def test_a_claim_whose_answer_was_lost_is_answered_the_same(journal: Journal, wanted: Wanted) -> None:
    """The very same claim gets what was stored the first time; another token, address or word gets nothing."""
    grant = grants.open_grant(journal, wanted("cp-1"), 100.0, lifetime=60.0)
    first = take(journal, grant.id, 101.0)
    again = grants.claim(journal, grant.id, TOKEN, Taken(HOME, "{}", '{"spec": 2}'), 102.0)
    assert again == first
    for other in ({"token": "u" * 43}, {"client": "10.20.0.12"}, {"claim": '{"serial": "X"}'}):
        with pytest.raises(PreflightRefused):
            take(journal, grant.id, 103.0, **other)
    with pytest.raises(PreflightRefused):
        take(journal, grant.id, 161.0)
    assert [event.kind for event in journal.since(kind="grant.claimed")] == ["grant.claimed"]


def test_a_finished_install_spends_a_grant_that_expired_meanwhile(journal: Journal, wanted: Wanted) -> None:
    """What is on the disk is a fact: a slow write is not forgotten, for a while; an unclaimed grant stays expired."""
    slow = grants.open_grant(journal, wanted("cp-1"), 100.0, lifetime=10.0)
    take(journal, slow.id, 105.0)
    idle = grants.open_grant(journal, wanted("worker-1"), 100.0, lifetime=10.0)
    assert sorted(grants.expire(journal, 200.0)) == ["cp-1", "worker-1"]
    assert not grants.finish(journal, slow.id, {"host_keys": ["late"]}, 110.0 + GRACE)
    assert grants.finish(journal, slow.id, {"host_keys": ["k"]}, 109.0 + GRACE)
    assert not grants.finish(journal, idle.id, {"host_keys": ["k"]}, 201.0)
    assert grants.get(journal, slow.id).outcome == "spent"
    assert journal.records("host_keys") == {"cp-1": ["k"]}


@pytest.mark.parametrize("outcome", ["failed", "revoked", "spent", "expired"])
def test_an_old_attempt_never_replaces_the_keys_of_a_later_one(
    journal: Journal, wanted: Wanted, outcome: grants.Outcome
) -> None:
    """However an attempt ended, once there is a newer grant its claimer pins nothing any more."""
    old = grants.open_grant(journal, wanted("cp-1"), 100.0)
    take(journal, old.id, 101.0)
    grants.end(journal, old.id, outcome, 102.0)
    new = grants.open_grant(journal, wanted("cp-1"), 103.0)
    take(journal, new.id, 104.0)
    assert grants.finish(journal, new.id, {"host_keys": ["new"]}, 105.0)
    assert not grants.finish(journal, old.id, {"host_keys": ["old"]}, 106.0)
    assert not grants.finish(journal, new.id, {"host_keys": ["newer"]}, 107.0)
    assert journal.records("host_keys") == {"cp-1": ["new"]}


def test_a_finish_that_dies_half_way_leaves_the_grant_claimed(journal: Journal, wanted: Wanted) -> None:
    """Keys and outcome are one transaction: whatever breaks in it, neither is there, and the report can be repeated."""
    grant = grants.open_grant(journal, wanted("cp-1"), 100.0)
    take(journal, grant.id, 101.0)
    with pytest.raises(TypeError):
        grants.finish(journal, grant.id, {"host_keys": ["k"], "installed": object()}, 102.0)
    assert grants.get(journal, grant.id).ended is None
    assert journal.records("host_keys") == {}
    assert grants.finish(journal, grant.id, {"host_keys": ["k"]}, 103.0)


def test_every_change_is_told(journal: Journal, wanted: Wanted) -> None:
    """Opening, claiming and ending a grant are events of its host, in order."""
    grant = grants.open_grant(journal, wanted("cp-1"), 100.0)
    take(journal, grant.id, 101.0)
    grants.finish(journal, grant.id, {}, 102.0)
    kinds = [event.kind for event in journal.since(host="cp-1", kind="grant.")]
    assert kinds == ["grant.opened", "grant.claimed", "grant.spent"]


def test_revoking_closes_the_open_grant(journal: Journal, wanted: Wanted) -> None:
    """A revoked grant cannot be claimed; revoking nothing says so."""
    grant = grants.open_grant(journal, wanted("cp-1"), 100.0)
    assert grants.revoke(journal, "cp-1", 101.0)
    assert not grants.revoke(journal, "cp-1", 102.0)
    with pytest.raises(PreflightRefused):
        take(journal, grant.id, 103.0)


def _claim(path: Path, grant_id: str, token: str) -> str:
    try:
        take(Journal.open(path), grant_id, 101.0, token=token)
    except PreflightRefused:
        return ""
    return token


def test_of_many_claims_at_once_one_wins(journal: Journal, wanted: Wanted) -> None:
    """Claims race from several processes on the same file; exactly one gets a token."""
    grant = grants.open_grant(journal, wanted("cp-1"), 100.0)
    with ProcessPoolExecutor(4) as pool:
        tokens = list(pool.map(_claim, [journal.state] * 16, [grant.id] * 16, [str(n) * 43 for n in range(16)]))
    won = [token for token in tokens if token]
    assert len(won) == 1
    assert grants.claimant(journal, grant.id, won[0], HOME) is not None


class GrantsInAnyOrder(RuleBasedStateMachine):
    """Any sequence of calls, with time moving on, against the two promises that matter."""

    opened = Bundle("opened")

    def __init__(self) -> None:
        super().__init__()
        self.room = tempfile.TemporaryDirectory()
        self.journal = Journal.open(Path(self.room.name))
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
        token = str(len(self.claims)) + str(self.claims.get(grant, 0))
        try:
            take(self.journal, grant, self.now, token=token)
        except PreflightRefused:
            return
        self.claims[grant] = self.claims.get(grant, 0) + 1
        assert self.claims[grant] == 1

    @rule(grant=opened, outcome=st.sampled_from(["failed", "revoked"]))
    def end(self, grant: str, outcome: grants.Outcome) -> None:
        grants.end(self.journal, grant, outcome, self.now)

    @rule(grant=opened)
    def finish(self, grant: str) -> None:
        if grant != "none":
            pinned = grants.finish(self.journal, grant, {"host_keys": grant}, self.now)
            host = grants.get(self.journal, grant).host
            newest = grants.latest(self.journal, host)
            assert not pinned or (newest is not None and newest.id == grant and grant in self.claims)

    @rule()
    def expire(self) -> None:
        grants.expire(self.journal, self.now)

    @invariant()
    def only_open_unclaimed_grants_install(self) -> None:
        for host in ("a", "b"):
            found = grants.latest(self.journal, host)
            decision = decide(BootFacts((f"mac-{host}",), None, host, own_address=True), found, self.now)
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
    with pytest.raises(Conflict), journal.transaction() as db:
        db.execute("INSERT INTO grants (id, host, attempt, body, opened, expires) VALUES ('x','cp-1',9,'{}',1,2)")
