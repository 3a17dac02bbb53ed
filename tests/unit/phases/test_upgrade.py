"""Clusters are upgraded one host after the other, and every run ends where the same command goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bmk.actions.upgrade import abort_upgrade, resume_upgrade
from bmk.datacenter.resolve import with_versions
from bmk.engine.rollout import NotBegun
from bmk.errors import PreflightRefused
from bmk.journal.diagnosis import find_cause
from bmk.journal.host_status import project
from bmk.journal.records import EvacuationRecord, UpgradeRecord
from bmk.live.cluster_guard import refused
from bmk.plan.guards import RECORD, VERSION
from bmk.upgrade.model import BarePod, Workloads
from bmk.upgrade.record import standing

OLD, NEW = "1.36.3", "1.37.2"
PLANES, WORKERS = ["cp-1", "cp-2", "cp-3"], ["worker-1", "worker-2"]


def aged(simulation: Any, wanted: str = NEW) -> Any:
    """A cluster with an old version, and a file that wants another."""
    simulation.dc = with_versions(simulation.dc, {"lab-ha": OLD})
    assert [o.error for o in simulation.provision()] == [None] * 5
    simulation.dc = with_versions(simulation.dc, {"lab-ha": wanted})
    return simulation


@pytest.fixture
def old(simulation: Any) -> Any:
    return aged(simulation)


def versions(simulation: Any) -> dict[str, set[str]]:
    return {name: {m.kubelet, m.api_server or m.kubelet} for name, m in simulation.machines.items()}


def is_done(simulation: Any, target: str = NEW) -> None:
    """All have it, take pods, and nothing of the upgrade is on record but the new version."""
    assert versions(simulation) == {name: {target} for name in simulation.machines}
    assert not [name for name, m in simulation.machines.items() if m.cordoned]
    assert standing(simulation.service, "lab-ha") is None
    assert EvacuationRecord.load_all(simulation.service) == {}
    assert simulation.service.records(RECORD)["lab-ha"][VERSION] == target


def test_all_hosts_get_the_version_in_order_and_the_second_run_does_nothing(old: Any) -> None:
    """A backup, control planes one by one, a canary, the other workers; each host once; then there is nothing to do."""
    began = old.service.last_seq()
    assert [o.error for o in old.upgrade()] == [None] * 5
    is_done(old)
    assert [m.upgrades for m in old.machines.values()] == [1] * 5
    assert old.backups == ["lab-ha"]
    done = [e.host for e in old.service.since(began, kind="host.readmitted")]
    assert (sorted(done[:3]), done[3:]) == (PLANES, WORKERS)
    assert old.upgrade_plan().nothing
    assert old.upgrade() == []
    assert not old.look()[0].pending, "and provision has nothing to do"


def test_two_minor_versions_are_two_runs_of_the_same_command(simulation: Any) -> None:
    """1.36 to 1.38 goes by 1.37, which the whole cluster has before anything of it has 1.38."""
    old = aged(simulation, "1.38.0")
    assert old.upgrade_plan().steps == ("1.37.2", "1.38.0")
    assert [o.error for o in old.upgrade()] == [None] * 5
    is_done(old, "1.37.2")
    assert [o.error for o in old.upgrade()] == [None] * 5
    is_done(old, "1.38.0")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(kills=[81, 48])  # in the middle of a restart of etcd
@given(kills=st.lists(st.integers(0, 120), min_size=1, max_size=4))
def test_killed_anywhere_the_same_command_finishes(
    make_simulation: Callable[[], Any], killed: type[BaseException], kills: list[int]
) -> None:
    """Quorum kept, no kubelet newer than its API servers, one control plane and one worker away at a time."""
    simulation = aged(make_simulation())
    for budget in kills:
        try:
            simulation.upgrade(kill_after=budget)
        except killed:
            continue
    assert [o for o in simulation.upgrade() if o.error is not None] == []
    is_done(simulation)
    assert simulation.away_at_once <= 1
    assert all(m.upgrades <= 1 + len(kills) for m in simulation.machines.values())


def test_killed_at_each_point_once(make_simulation: Callable[[], Any], killed: type[BaseException]) -> None:
    """Every seventh write and effect of a whole run is the last of a process; the next one finishes."""
    for budget in range(1, 200, 7):
        simulation = aged(make_simulation())
        try:
            simulation.upgrade(kill_after=budget)
        except killed:
            assert [o for o in simulation.upgrade() if o.error is not None] == []
        is_done(simulation)


def test_pauses_where_it_was_asked_to_and_goes_on(old: Any) -> None:
    """After the control planes, then after one worker; other commands leave the cluster alone meanwhile."""
    old.upgrade(until="control-plane")
    assert {n: versions(old)[n] for n in (*PLANES, *WORKERS)} == {n: {NEW} for n in PLANES} | {
        n: {OLD} for n in WORKERS
    }
    (alone,) = refused(old.dc, old.service, old, old.dc.hosts.values())
    assert "upgrade to 1.37.2 is under way" in alone.why
    back = with_versions(old.dc, {"lab-ha": OLD})
    assert [one.field for one in refused(back, old.service, old, back.hosts.values())] == [VERSION]
    assert refused(old.dc, old.service, old, old.dc.hosts.values(), (VERSION,)) == []
    old.upgrade(until="canary")
    assert [old.machines[name].kubelet for name in WORKERS] == [NEW, OLD]
    old.upgrade(until="canary")
    assert [old.machines[name].kubelet for name in WORKERS] == [NEW, OLD], "the canary was there already"
    old.upgrade()
    is_done(old)
    assert old.backups == ["lab-ha"]


def test_a_worker_that_fails_stops_the_others_and_is_the_first_of_the_next_run(old: Any) -> None:
    """The canary does not come back: no other worker begins, in this run and the next; mended, all are done."""
    old.machines["worker-1"].faults.add("pods-broken")
    outcomes = {o.host: o.error for o in old.upgrade()}
    assert "smoke test failed on it" in str(outcomes["worker-1"])
    assert isinstance(outcomes["worker-2"], NotBegun)
    assert old.machines["worker-1"].cordoned
    assert old.machines["worker-2"].kubelet == OLD
    outcomes = {o.host: o.error for o in old.upgrade()}
    assert isinstance(outcomes["worker-2"], NotBegun)
    old.machines["worker-1"].faults.clear()
    assert [o.error for o in old.upgrade()] == [None, None]
    is_done(old)


def test_a_pod_that_stays_holds_its_own_host_only_once(old: Any) -> None:
    """Nothing of the host was upgraded; the error says whose pod it is; the next run tries the same host first."""
    old.machines["worker-2"].faults.add("pod-stays")
    outcomes = {o.host: o.error for o in old.upgrade()}
    assert "shop/db-0" in outcomes["worker-2"].why
    assert old.machines["worker-2"].upgrades == 0
    assert [name for name, error in outcomes.items() if error is None] == [*PLANES, "worker-1"]
    old.machines["worker-2"].faults.clear()
    assert [o.host for o in old.upgrade()] == ["worker-2"]
    is_done(old)


def test_workers_wait_for_every_api_server(old: Any) -> None:
    """A control plane fails: the next one does not begin, and neither does a worker."""
    old.machines["cp-2"].faults.add("fail-upgrade.yml")
    outcomes = {o.host: o.error for o in old.upgrade()}
    assert outcomes["cp-1"] is None
    assert all(isinstance(outcomes[name], NotBegun) for name in ("cp-3", *WORKERS))
    assert [old.machines[name].kubelet for name in WORKERS] == [OLD, OLD]
    old.machines["cp-2"].faults.clear()
    assert [o for o in old.upgrade() if o.error is not None] == []
    is_done(old)


def test_a_backup_that_fails_is_the_end_before_anything_has_begun(old: Any) -> None:
    """Every host ends with the reason, and nothing was drained."""
    old.faults.add("backup-fails")
    assert {str(o.error.what) for o in old.upgrade() if o.error} == {"the place for backups refuses"}
    assert [m.drains for m in old.machines.values()] == [0] * 5
    old.faults.clear()
    assert [o for o in old.upgrade() if o.error is not None] == []
    is_done(old)


def test_an_abort_finishes_what_began_and_begins_nothing(old: Any) -> None:
    """The host that was away comes back with the new version; the others keep theirs until it is resumed."""
    old.machines["cp-2"].faults.add("fail-upgrade.yml")
    old.upgrade()
    abort_upgrade(old.service, "lab-ha")
    old.machines["cp-2"].faults.clear()
    assert [o.host for o in old.upgrade()] == ["cp-2"]
    assert [old.machines[name].api_server for name in PLANES] == [NEW, NEW, OLD]
    assert not any(m.cordoned for m in old.machines.values())
    assert old.upgrade() == []
    assert refused(old.dc, old.service, old, old.dc.hosts.values()) != []
    resume_upgrade(old.service, "lab-ha")
    assert [o for o in old.upgrade() if o.error is not None] == []
    is_done(old)


def test_what_is_not_under_way_can_neither_be_aborted_nor_resumed(old: Any) -> None:
    """Refused, with the command that shows what is."""
    for change in (abort_upgrade, resume_upgrade):
        with pytest.raises(PreflightRefused, match="no upgrade"):
            change(old.service, "lab-ha")


def test_a_host_that_is_left_behind_holds_nothing_up(old: Any) -> None:
    """A machine that died in the middle: the others are done, the cluster is on record with its new version."""
    old.machines["worker-1"].faults.add("fail-upgrade.yml")
    old.upgrade()
    assert [o.error for o in old.upgrade(without=["worker-1"])] == [None]
    assert old.machines["worker-2"].kubelet == NEW
    assert UpgradeRecord.load_all(old.service) == {}
    assert refused(old.dc, old.service, old, old.dc.hosts.values()) == []


def test_a_node_that_a_person_cordoned_stays_cordoned(old: Any) -> None:
    """Also when the run that remembered it was killed."""
    old.machines["worker-2"].cordoned = True
    assert [o for o in old.upgrade() if o.error is not None] == []
    assert [old.machines[name].cordoned for name in WORKERS] == [False, True]


def test_the_file_cannot_go_back_once_it_has_begun(old: Any) -> None:
    """The step that has begun is gone to its end, or nothing is done."""
    old.upgrade(until="control-plane")
    old.dc = with_versions(old.dc, {"lab-ha": OLD})
    (blocker,) = old.upgrade_plan().blocked
    assert (blocker.kind, blocker.acceptable) == ("path", False)
    assert "cannot go back" in blocker.text


def test_bounds_of_the_rollout_hold_and_the_canary_goes_alone(old: Any) -> None:
    """Two workers may be away, and yet the second waits for the first to be proven."""
    old.upgrade(rollout={"max_unavailable": 2})
    assert old.away_at_once == 1
    is_done(old)


def test_what_holds_an_api_server_up_is_said(old: Any) -> None:
    """When the deadline passes, the cause names what the API server lacks, and the next command is this one."""
    old.machines["cp-1"].faults.add("pod-stays-away")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bmk.phases.upgraded.Upgraded.deadline", lambda *_: 0.5)
        outcomes = {o.host: o.error for o in old.upgrade()}
    assert outcomes["cp-1"] is not None
    cause = find_cause(old.service.since(host="cp-1"), "cp-1", project(old.service, "lab-ha", None))
    assert cause is not None
    assert "bmk upgrade lab-ha" in cause.hint


def test_pods_that_nobody_makes_anew_are_told_before(old: Any) -> None:
    """Of nodes that are drained, and of no other."""
    old.workloads = Workloads(bare=(BarePod("shop", "job", "worker-1"), BarePod("shop", "other", "nowhere")))
    (blocker,) = [b for b in old.upgrade_plan().blockers if b.kind == "bare-pods"]
    assert blocker.items == ("shop/job",)
    assert blocker.owner == "namespace shop"
