"""The way from one version to another, the order of hosts, and what blocks it. All of it pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bmk.upgrade.blockers import ACCEPTABLE, OLDEST_BACKUP, RULES
from bmk.upgrade.decide import UpgradePlan, decide, needs, with_reasons
from bmk.upgrade.model import (
    Accepted,
    BarePod,
    Budget,
    DeprecatedApi,
    HostUpgrade,
    NodeVersions,
    Standing,
    UpgradeEvidence,
    UpgradeMember,
    Workloads,
)
from bmk.upgrade.show import lines
from bmk.upgrade.versions import LAG, NoWay, Version, path, skew, version

minors = st.integers(30, 40)
releases = st.builds(Version, st.just(1), minors, st.integers(0, 5))


@given(have=releases, want=releases, known=st.sets(releases, max_size=30))
def test_a_path_skips_no_minor_version_and_never_goes_back(have: Version, want: Version, known: set[Version]) -> None:
    """Each step is newer and at most one minor further; it ends at what is wanted and installs only what is known."""
    try:
        steps = path(have, want, known)
    except NoWay:
        gaps = [m for m in range(have.minor + 1, want.minor) if not any(v.minor == m for v in known)]
        assert want < have or gaps or want not in known
        return
    assert steps == [] if have == want else steps[-1] == want
    for before, after in zip([have, *steps], steps, strict=False):
        assert before < after
        assert after.minor - before.minor <= 1
    assert set(steps) <= known


@given(kubelet=releases, server=releases)
def test_the_skew_policy(kubelet: Version, server: Version) -> None:
    """Never newer, never more than three minor versions older."""
    assert (skew(kubelet, server) == "") == (kubelet <= server and server.minor - kubelet.minor <= LAG)


@pytest.mark.parametrize("odd", ["", "1.37", "v1.37.2-rc.1", "1.37.2+k3s1", "1.٣7.2", "2.0.0", "1.37.2\n", "1.1234.0"])
def test_what_is_no_release_is_no_version(odd: str) -> None:
    """A node may say anything: only plain releases are compared."""
    assert version(odd) is None


def member(name: str, role: str = "worker", at: str = "1.36.3", **more: Any) -> UpgradeMember:
    servers = {"api_server": f"v{at}"} if role == "control_plane" else {}
    begun = more.pop("begun", False)
    return UpgradeMember(name, role, NodeVersions(f"v{at}", **{**servers, **more}), begun)


PLANES = tuple(member(f"cp-{n}", "control_plane") for n in range(3))
WORKERS = tuple(member(f"w-{n}") for n in range(3))
WELL = UpgradeEvidence(
    "apps", "1.36.3", "1.37.2", (*PLANES, *WORKERS), ("1.37.2",),
    etcd={m.name: True for m in PLANES}, backups=True, backup_age=60.0,
)  # fmt: skip


def test_nothing_is_to_be_done_where_the_file_is_right() -> None:
    """No target, no host, no blocker, whatever the workloads are."""
    same = replace(WELL, wanted="1.36.3", drift=("w-0: x",), backups=False)
    assert decide("par", same).nothing
    assert next(iter(lines("par", decide("par", same), [], []))) == "cluster apps: has 1.36.3, as the file says"


def test_a_cluster_that_is_well_has_no_blockers() -> None:
    """Control planes first, all drained, none later."""
    found = decide("par", WELL)
    assert found.blockers == ()
    assert list(found.hosts) == ["cp-0", "cp-1", "cp-2", "w-0", "w-1", "w-2"]
    assert all(h.drains and h.pending for h in found.hosts.values())
    assert found.later == ()


HELD = Workloads(
    bare=(BarePod("shop", "one", "w-1"),),
    budgets=(Budget("shop", "db", 3, 3), Budget("shop", "web", 3, 2), Budget("shop", "none", 0, 0)),
    deprecated=(DeprecatedApi("flow", "v1beta3", "schemas", 37), DeprecatedApi("later", "v1", "x", 38)),
)
CASES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "etcd": ({"etcd": {"cp-0": True, "cp-1": False}}, ("cp-1",)),
    "skew": ({"members": (*PLANES, member("w-0", at="1.38.0"))}, ("w-0",)),
    "nodes": ({"members": (*PLANES, member("w-0", ready=False))}, ("w-0",)),
    "crashing": ({"members": (*PLANES, member("w-0", crashing=("etcd-w-0",)))}, ("etcd-w-0 of w-0",)),
    "bare-pods": ({"workloads": replace(HELD, budgets=(), deprecated=())}, ("shop/one",)),
    "budgets": ({"workloads": replace(HELD, bare=(), deprecated=())}, ("shop/db",)),
    "deprecated-apis": ({"workloads": replace(HELD, bare=(), budgets=())}, ("schemas.v1beta3.flow",)),
    "drift": ({"drift": ("w-0: /etc/x: missing",)}, ("w-0: /etc/x: missing",)),
    "certificates": ({"certificates": ("apiserver of cp-0: ends in 3 d",)}, ("apiserver of cp-0: ends in 3 d",)),
    "backup": ({"backup_age": OLDEST_BACKUP + 1}, ()),
    "blind": ({"blind": ("cp-0: no answer",)}, ("cp-0: no answer",)),
}


@pytest.mark.parametrize("kind", CASES)
def test_each_blocker_by_itself(kind: str) -> None:
    """It is the only one, says whose it is and what comes next, names its items, and is shown."""
    more, items = CASES[kind]
    found = decide("par", replace(WELL, **more))
    (blocker,) = found.blocked
    assert (blocker.kind, blocker.items) == (kind, items)
    assert blocker.owner
    assert blocker.next
    shown = "\n".join(lines("par", found, [], []))
    assert "BLOCKED" in shown
    assert blocker.next in shown
    assert (f"--accept {kind}=" in shown) == blocker.acceptable


def test_a_member_of_etcd_that_a_killed_run_left_restarting_blocks_nothing() -> None:
    """The same command has to bring it back; a member beside it that is ill as well is a blocker."""
    begun = (replace(PLANES[0], begun=True), *PLANES[1:], *WORKERS)
    assert decide("par", replace(WELL, members=begun, etcd={**WELL.etcd, "cp-0": False})).blocked == ()
    assert decide("par", replace(WELL, members=begun, etcd={})).blocked == ()
    both = replace(WELL, members=begun, etcd={**WELL.etcd, "cp-0": False, "cp-1": False})
    assert [b.items for b in decide("par", both).blocked] == [("cp-1",)]


def test_there_is_a_case_for_each_rule() -> None:
    """A rule that is new needs one."""
    assert len(CASES) == len(RULES)


@pytest.mark.parametrize("more", [{"backups": False}, {"backup_age": None}])
def test_a_cluster_without_a_proven_backup_is_blocked(more: dict[str, Any]) -> None:
    """Nobody has any, or the file says nothing of them."""
    assert [b.kind for b in decide("par", replace(WELL, **more)).blocked] == ["backup"]


@pytest.mark.parametrize("wanted", ["1.35.4", "1.39.0", "1.36.1", "1.37.1"])
def test_without_a_way_nothing_is_planned(wanted: str) -> None:
    """Backwards, or by a minor version that the lock lacks: one blocker, and no host."""
    found = decide("par", replace(WELL, wanted=wanted))
    assert [(b.kind, b.acceptable) for b in found.blocked] == [("path", False)]
    assert (found.target, found.hosts) == ("", {})


@pytest.mark.parametrize("kind", [kind for kind in CASES if kind not in ("etcd", "skew", "nodes")])
def test_what_was_accepted_holds_for_what_there_was(kind: str) -> None:
    """With a reason it is no blocker any more; something new of the same kind is one again."""
    more, items = CASES[kind]
    taken = Standing("1.37.2", {kind: Accepted("agreed with them", items)})
    found = decide("par", replace(WELL, standing=taken, **more))
    assert found.blocked == ()
    assert [b.accepted for b in found.blockers] == ["agreed with them"]
    if items:
        less = Standing("1.37.2", {kind: Accepted("agreed with them", ())})
        assert [b.kind for b in decide("par", replace(WELL, standing=less, **more)).blocked] == [kind]


def test_only_what_blocks_and_may_be_accepted_can_be() -> None:
    """etcd without quorum cannot be; what does not block may, so that a command can be repeated as it was typed."""
    found = decide("par", replace(WELL, drift=("w-0: x",), etcd={"cp-0": False}))
    assert [b.kind for b in with_reasons(found, {"drift": "known", "backup": "none"}).blocked] == ["etcd"]
    for kind in ("etcd", "nonsense"):
        with pytest.raises(KeyError):
            with_reasons(found, {kind: "a reason"})
    assert {kind for kind in CASES if kind not in ACCEPTABLE} == {"etcd", "skew", "nodes"}


states = st.builds(
    lambda name, role, old, begun: member(name, role, "1.36.3" if old else "1.37.2", begun=begun),
    st.sampled_from([f"h-{n}" for n in range(8)]),
    st.sampled_from(["worker", "control_plane"]),
    st.booleans(),
    st.booleans(),
)


@given(
    members=st.lists(states, unique_by=lambda m: m.name),
    until=st.sampled_from(["all", "canary", "control-plane"]),
    aborted=st.booleans(),
    without=st.sets(st.sampled_from([f"h-{n}" for n in range(8)])),
)
def test_who_is_upgraded_in_which_run(
    members: list[UpgradeMember], until: Any, aborted: bool, without: set[str]
) -> None:
    """Control planes come first; what began is in every run; nobody is there who needs nothing or is left behind."""
    under_way = Standing("1.37.2", without=frozenset(without), aborted=aborted)
    found = decide("par", replace(WELL, members=tuple(members), standing=under_way), until)
    by_name = {m.name: m for m in members}
    needy = {m.name for m in members if needs(m, Version(1, 37, 2)) and m.name not in without}
    assert set(found.left) == needy == set(found.hosts) | set(found.later)
    roles = [by_name[name].role for name in found.hosts]
    assert roles == sorted(roles)
    assert {name for name in needy if by_name[name].begun} <= set(found.hosts)
    fresh = [name for name in found.hosts if not by_name[name].begun]
    workers = [name for name in fresh if by_name[name].role == "worker"]
    if aborted:
        assert fresh == []
    elif until != "all":
        assert len(workers) <= (until == "canary")
    else:
        assert found.later == ()


@given(st.permutations(range(4)))
def test_upgrading_in_the_order_of_the_plan_keeps_the_skew(order: list[int]) -> None:
    """Host by host as the plan says, whoever is a control plane: its server, then its kubelet; workers after them."""
    roles = ["control_plane" if n < 2 else "worker" for n in order]
    now = {f"h-{n}": member(f"h-{n}", role) for n, role in zip(order, roles, strict=True)}
    while left := decide("par", replace(WELL, members=tuple(now.values()))).hosts:
        name = next(iter(left))
        assume(now[name].role)
        now[name] = member(name, now[name].role, "1.37.2")
        servers = [version(m.versions.api_server) for m in now.values() if m.role == "control_plane"]
        for m in now.values():
            mine = [version(m.versions.api_server)] if m.role == "control_plane" else servers
            assert all(not skew(k, s) for s in mine if s and (k := version(m.versions.kubelet)))


def test_a_node_that_is_alone_keeps_its_pods() -> None:
    """There is nowhere to go, and no budget could ever hold."""
    alone = replace(WELL, members=PLANES[:1], etcd={"cp-0": True}, workloads=HELD)
    found = decide("par", alone)
    assert found.hosts == {"cp-0": HostUpgrade("1.37.2", "1.36.3", "1.36.3", drains=False)}
    assert {b.kind for b in found.blockers} == {"deprecated-apis"}


def test_a_plan_as_data_has_all_that_the_table_says() -> None:
    """For programs: hosts in order, blockers whole."""
    found: UpgradePlan = decide("par", replace(WELL, drift=("w-0: x",)))
    body = found.as_dict()
    assert [h["host"] for h in body["hosts"]] == list(found.hosts)
    assert (body["target"], body["steps"], body["later"]) == ("1.37.2", ["1.37.2"], [])
    assert body["blockers"][0]["next"] == found.blockers[0].next
