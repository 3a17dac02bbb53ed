"""A machine that is installed again begins a new record: nothing that was known of the old one is applied to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bmk.actions.reinstall import order_reinstall, withdraw_order, without_control_plane
from bmk.drift import baseline as baselines
from bmk.drift import history
from bmk.drift.classify import classify
from bmk.drift.model import Desired, Difference, DriftStatus
from bmk.drift.repair import repair_variables
from bmk.errors import PreflightRefused
from bmk.journal import Event, Journal
from bmk.journal.host_status import project
from bmk.journal.installation import begin, installation
from bmk.live.drift_service import unless_reinstalled
from bmk.plan.wipe import why_confirm

MANIFEST = Difference("files", "/etc/kubernetes/manifests/etcd.yaml", "sha256", "old", "new")
LABEL = Difference("nodes", "worker-2 label role", "value", "worker", "x")
BOOT = Difference("bmc", "boot", "value", "", "pxe")
ALL = [
    *("remove", "power-install", "boot", "wipe", "prove", "reach", "configure", "join", "verify"),
    *("baseline", "prove"),
]


def old_life(simulation: Any, host: str) -> None:
    """What may be known of a host: findings of all repairs, what a check found, what was put back, how it stands."""
    journal = simulation.service
    findings = tuple(classify("lab-ha", host, d, Desired(), {}) for d in (MANIFEST, LABEL, BOOT))
    findings = tuple(replace(f, repair=r) for f, r in zip(findings, ("converge", "api", "bmc"), strict=True))
    history.remember(journal, "run", time.time(), time.time(), [DriftStatus(host, findings)])
    for key in ("suspect", "drift_repair", "hardening", "login_keys", "begun", "a-record-that-nobody-thought-of-yet"):
        journal.record(host, key, {"cluster": "lab-ha", "what": ["x"], "at": time.time()})


def kinds(simulation: Any) -> dict[str, list[str]]:
    return {h.host: [c.kind for c in h.changes] for h in simulation.look()[0].pending}


def hosts(simulation: Any, *names: str) -> list[Any]:
    return [simulation.dc.hosts[name] for name in names]


def test_an_ordered_installation_is_planned_from_disk_to_proof(simulation: Any) -> None:
    """Nothing of the record shortens the plan or adds to it, whatever answers ssh; the wipe wants the host's name."""
    simulation.provision()
    old_life(simulation, "worker-2")
    order_reinstall(simulation.dc, simulation.service, hosts(simulation, "worker-2"))
    assert kinds(simulation) == {"worker-2": ALL}
    _, seen = simulation.look()
    assert "installed again" in why_confirm(simulation.dc.hosts["worker-2"], seen.hosts["worker-2"])
    (outcome,) = simulation.provision()
    assert "give up by name" in str(outcome.error)
    assert simulation.machines["worker-2"].wipes == 1


def test_a_machine_that_was_born_again_has_no_past(simulation: Any) -> None:
    """Findings, suspicion, repairs and seals of before are history: kept, and not one of them is applied."""
    simulation.provision()
    old_life(simulation, "worker-2")
    before = baselines.newest(simulation.service, "worker-2")
    order_reinstall(simulation.dc, simulation.service, hosts(simulation, "worker-2"))
    assert [o.error for o in simulation.provision(confirmed=frozenset({"worker-2"}))] == [None]
    assert simulation.machines["worker-2"].wipes == 2
    assert simulation.look()[0].pending == ()
    assert history.outstanding(simulation.service, "worker-2") == {}
    assert simulation.service.query('SELECT count(*) FROM drift WHERE "where" = ? AND gone > 0', ("worker-2",)) == [
        (3,)
    ]
    assert repair_variables(simulation.service, ["worker-2"])["bmk_distrust"] == []
    assert simulation.drift_repaired == []
    now = baselines.newest(simulation.service, "worker-2")
    assert before is not None
    assert now is not None
    assert now.installation == installation(simulation.service, "worker-2") != before.installation
    left = set(simulation.service.facts("worker-2"))
    assert not left & {
        "suspect",
        "drift_repair",
        "hardening",
        "login_keys",
        "begun",
        "a-record-that-nobody-thought-of-yet",
    }
    assert "identity" in left  # the machine is the same


def test_what_began_before_the_installation_is_over_before_anybody_looks(simulation: Any) -> None:
    """The record ends with the report of the ramdisk: a run that is killed right then leaves nothing to clean up."""
    simulation.provision()
    old_life(simulation, "worker-2")
    begin(simulation.service, "worker-2", {"host_keys": ["new"], "installed": {"grant": "g"}})
    _, seen = simulation.look()
    assert seen.hosts["worker-2"].converged == "never"
    assert (seen.hosts["worker-2"].joined, seen.hosts["worker-2"].drift, seen.hosts["worker-2"].suspect) == (
        None,
        (),
        (),
    )
    assert baselines.newest(simulation.service, "worker-2") is None


def test_an_old_seal_counts_for_no_new_installation(tmp_path: Any) -> None:
    """Neither a signed one of before, nor one from the time when seals did not say of which installation they are."""
    journal = Journal.open(tmp_path)
    begin(journal, "one", {"host_keys": ["a"], "installed": {"at": 100.0}})
    baselines.store(journal, baselines.Baseline("one", 150.0, "d", schema=3))
    assert baselines.newest(journal, "one") is not None
    begin(journal, "one", {"host_keys": ["b"], "installed": {"at": 200.0}})
    assert baselines.newest(journal, "one") is None
    baselines.store(journal, baselines.Baseline("one", 250.0, "d"))
    assert baselines.signed_at(journal) == {"one": 250.0}
    begin(journal, "one", {"host_keys": ["c"], "installed": {"at": 240.0}})  # a clock that was put back
    assert baselines.newest(journal, "one") is None
    assert baselines.signed_at(journal) == {}
    assert len(baselines.history(journal, "one")) == 2


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills=st.lists(st.integers(0, 60), min_size=1, max_size=3))
def test_killed_anywhere_it_is_installed_again_once(
    make_simulation: Callable[[], Any], killed: type[BaseException], kills: list[int]
) -> None:
    """The same command finishes the installation that was ordered, and does not begin another."""
    simulation, wish = make_simulation(), {"confirmed": frozenset({"worker-1"})}
    simulation.provision(["cp-1", "worker-1"])
    order_reinstall(simulation.dc, simulation.service, hosts(simulation, "worker-1"))
    for budget in kills:
        try:
            simulation.provision(["cp-1", "worker-1"], kill_after=budget, **wish)
        except killed:
            continue
    assert [o for o in simulation.provision(["cp-1", "worker-1"], **wish) if o.error is not None] == []
    assert (simulation.machines["cp-1"].wipes, simulation.machines["worker-1"].wipes) == (1, 2)
    assert simulation.look(["cp-1", "worker-1"])[0].pending == ()


def test_a_whole_cluster_begins_anew(simulation: Any) -> None:
    """Its control planes join nothing of before; what was found in the old cluster is not put right in the new one."""
    simulation.provision()
    rogue = classify("lab-ha", "lab-ha", Difference("bindings", "rogue", "", None, "role cluster-admin"), Desired(), {})
    cluster = next(iter(simulation.dc.spec.clusters))
    history.remember(simulation.service, "run", time.time(), time.time(), [DriftStatus(cluster, (rogue,))])
    order_reinstall(simulation.dc, simulation.service, list(simulation.dc.hosts.values()))
    outcomes = simulation.provision(confirmed=frozenset(simulation.dc.hosts))
    assert [o.error for o in outcomes if o.error] == []
    assert sum(m.inits for m in simulation.machines.values()) == 2
    assert history.outstanding(simulation.service) == {}
    assert simulation.drift_repaired == []
    assert simulation.look()[0].pending == ()


def test_no_cluster_loses_its_head(simulation: Any) -> None:
    """A cluster keeps a control plane or begins anew as a whole; what never joined counts for nothing."""
    joined = ("cp-1", "cp-2", "worker-1")
    assert without_control_plane(simulation.dc, ("cp-1",), joined) == {}
    assert without_control_plane(simulation.dc, ("cp-1", "cp-2"), joined) == {"lab-ha": ["worker-1"]}
    assert without_control_plane(simulation.dc, joined, joined) == {}
    assert without_control_plane(simulation.dc, ("cp-3", "worker-1"), joined) == {}


def test_an_order_is_refused_or_taken_back(simulation: Any) -> None:
    """A host without an installation has none to replace; an order that was taken back leaves no trace in the plan."""
    with pytest.raises(PreflightRefused, match="not installed"):
        order_reinstall(simulation.dc, simulation.service, hosts(simulation, "worker-1"))
    simulation.provision()
    with pytest.raises(PreflightRefused, match="no control plane any more"):
        order_reinstall(simulation.dc, simulation.service, hosts(simulation, "cp-1", "cp-2", "cp-3"))
    order_reinstall(simulation.dc, simulation.service, hosts(simulation, "worker-1"))
    assert withdraw_order(simulation.service, hosts(simulation, "worker-1", "worker-2")) == ["worker-1"]
    assert simulation.look()[0].pending == ()


def test_what_was_seen_of_an_installation_that_ended_meanwhile_is_not_believed() -> None:
    """A look that began before the reinstall and ends after it says that nothing is known, and finds nothing."""
    finding = classify("lab-ha", "one", MANIFEST, Desired(), {})
    seen = DriftStatus("one", (finding,))
    assert unless_reinstalled("lab-ha", seen, {"one": "a"}, {"one": "a"}) is seen
    now = unless_reinstalled("lab-ha", seen, {"one": "a"}, {"one": "b"})
    assert (now.state, now.findings, now.troubles[0].next) == ("unknown", (), "bmk drift lab-ha")


def test_a_reinstall_that_was_cut_short_is_not_called_ready(simulation: Any) -> None:
    """The proof of an installation that is to be replaced says nothing: `bmk status` shows what is left to do."""
    simulation.provision()
    assert project(simulation.service, "lab", None).status("worker-1").state == "ready"
    order_reinstall(simulation.dc, simulation.service, hosts(simulation, "worker-1"))
    simulation.service.append(
        Event("bmk", "phase.finished", "Power on: done", "worker-1", "powered", "a run that was killed")
    )
    assert project(simulation.service, "lab", None).status("worker-1").state == "interrupted"
