"""Whole runs against the simulation in memory."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from bmk.actions.provision import PROVISION
from bmk.boot import grants
from bmk.engine.run import RunLimits
from bmk.engine.session import Options
from bmk.journal import Event
from bmk.phases import imaging, powered
from bmk.phases.booting import Booting
from bmk.phases.registered import Registered


def failures(outcomes: Any) -> dict[str, str]:
    return {o.host: f"{o.phase}: {o.error}" for o in outcomes if o.error is not None}


def test_powered_off_machines_become_a_ready_cluster(simulation: Any) -> None:
    """Every machine is installed once, one begins the cluster, all join it, one smoke test proves it."""
    assert failures(simulation.provision()) == {}
    machines = simulation.machines.values()
    assert [m.wipes for m in machines] == [1] * 5
    assert sum(m.inits for m in machines) == 1
    assert sum(m.joins for m in machines) == 4
    assert simulation.smokes == 1


def test_second_run_has_nothing_to_do(simulation: Any) -> None:
    """After a provision the plan is empty, and a second run touches no machine."""
    simulation.provision()
    plan, _ = simulation.look()
    assert plan.empty
    batches = list(simulation.batches)
    assert simulation.provision() == []
    assert simulation.batches == batches


def test_hosts_share_ansible_runs(simulation: Any) -> None:
    """Five hosts that arrive together are configured by fewer than five runs, and each host exactly once."""
    simulation.provision()
    runs = [hosts for playbook, hosts in simulation.batches if playbook == "configure.yml"]
    assert len(runs) < 5
    assert sorted(h for hosts in runs for h in hosts) == sorted(simulation.dc.hosts)


def test_one_bad_host_does_not_stop_the_others(simulation: Any) -> None:
    """A machine with another serial is refused before any power action; the others become Ready."""
    simulation.machines["worker-1"].faults.add("wrong-serial")
    bad = failures(simulation.provision())
    assert list(bad) == ["worker-1"]
    assert "the file says HA0004, the BMC says OTHER" in bad["worker-1"]
    assert (simulation.machines["worker-1"].power, simulation.machines["worker-1"].wipes) == ("off", 0)
    assert simulation.machines["worker-2"].approved


def test_an_odd_answer_of_an_api_is_unknown_and_ends_nothing(simulation: Any) -> None:
    """A control plane that was taken over answers what it likes: the plan is made, and says what it does not know."""
    simulation.provision()
    simulation.odd.add("lab-ha")
    plan, seen = simulation.look()
    assert {c.policies for c in seen.clusters.values()} == {"unknown"}
    assert [(g.name, c.phase) for g in plan.scoped for c in g.changes] == [("lab-ha", "admission_policies")]
    assert plan.pending == ()


def test_a_refused_password_is_not_tried_until_the_deadline(simulation: Any) -> None:
    """BMCs lock accounts: the phase fails at the first refusal (with the one of the look before the plan)."""
    simulation.machines["worker-1"].faults.add("bmc-refuses")
    assert "refuses this username and password" in failures(simulation.provision())["worker-1"]
    assert simulation.machines["worker-1"].refusals <= 2


def test_a_failed_control_plane_does_not_stop_the_cluster(simulation: Any) -> None:
    """No control plane is special: when the first in the file fails, another one begins the cluster."""
    simulation.machines["cp-1"].faults.add("wrong-serial")
    bad = failures(simulation.provision())
    assert list(bad) == ["cp-1"]
    assert sum(m.inits for m in simulation.machines.values()) == 1


def test_workers_say_why_when_no_control_plane_comes(simulation: Any) -> None:
    """Workers do not wait for ever for control planes that failed."""
    for name in ("cp-1", "cp-2", "cp-3"):
        simulation.machines[name].faults.add("wrong-serial")
    bad = failures(simulation.provision())
    assert "no API server of cluster lab-ha answers" in bad["worker-1"]
    assert simulation.machines["worker-1"].configured == 1


def test_a_half_begun_cluster_is_never_begun_by_another_host(simulation: Any) -> None:
    """When the beginning failed on one host, no other host makes a second cluster; the same host continues later."""
    simulation.machines["cp-1"].faults.add("wrong-serial")
    for name in ("cp-2", "cp-3"):
        simulation.machines[name].faults.add("fail-init.yml")
    bad = failures(simulation.provision())
    assert sorted(bad) == ["cp-1", "cp-2", "cp-3", "worker-1", "worker-2"]
    began = list(simulation.service.records("begun"))
    assert len(began) == 1
    simulation.machines["cp-1"].faults.clear()
    other = next(n for n in ("cp-2", "cp-3") if n not in began)
    simulation.machines[other].faults.clear()
    assert "has begun cluster lab-ha and not finished" in failures(simulation.provision(["cp-1", other]))["cp-1"]
    simulation.machines[began[0]].faults.clear()
    assert failures(simulation.provision()) == {}
    assert [n for n, m in simulation.machines.items() if m.inits] == began


def test_ramdisk_that_dies_mid_write_gets_a_new_attempt(simulation: Any, monkeypatch: Any) -> None:
    """A grant whose ramdisk fell silent is ended as failed; one new attempt with a new grant installs the host."""
    shorten(monkeypatch, silence=1.5)
    simulation.machines["worker-1"].faults.add("dies-mid-write")
    assert failures(simulation.provision(["worker-1", "cp-1"])) == {}
    outcomes = [
        r[0] for r in simulation.service.query("SELECT outcome FROM grants WHERE host = 'worker-1' ORDER BY attempt")
    ]
    assert outcomes == ["failed", "spent"]


def test_a_dead_bmc_is_named_after_its_deadline(simulation: Any, monkeypatch: Any) -> None:
    """A BMC that never answers ends with its own error, not with a guess."""
    monkeypatch.setattr(Registered, "deadline", lambda self, host, timing: 0.5)
    simulation.machines["worker-1"].faults.add("bmc-dead")
    assert "the BMC does not answer" in failures(simulation.provision(["worker-1"]))["worker-1"]


def test_a_bmc_that_balks_once_is_asked_again(simulation: Any) -> None:
    """503 for a moment is a warning in the journal, not a failure."""
    simulation.machines["cp-1"].faults.add("bmc-503-once")
    assert failures(simulation.provision(["cp-1"])) == {}


def test_machine_that_never_sends_dhcp_is_explained(simulation: Any, monkeypatch: Any) -> None:
    """The deadline of booting names cabling, boot order or relay, and the next command."""
    monkeypatch.setattr(Booting, "deadline", lambda self, host, timing: 1.0)
    simulation.machines["worker-1"].faults.add("no-dhcp")
    bad = failures(simulation.provision(["worker-1"]))["worker-1"]
    assert "no DHCP request seen" in bad
    assert "bmk console lab-ha worker-1" in bad


def test_a_machine_whose_boot_was_given_up_is_restarted(simulation: Any, monkeypatch: Any) -> None:
    """The cable was out and is in again: the same command, typed at once, boots the machine anew and installs it."""
    monkeypatch.setattr(Booting, "deadline", lambda self, host, timing: 1.0)
    machine = simulation.machines["cp-1"]
    machine.faults.add("no-dhcp")
    assert "no DHCP request" in failures(simulation.provision(["cp-1"]))["cp-1"]
    machine.faults.discard("no-dhcp")
    assert failures(simulation.provision(["cp-1"])) == {}
    assert (machine.cycles, machine.wipes) == (1, 1)


def test_a_machine_that_was_started_just_now_is_left_to_boot() -> None:
    """After a kill the next run waits for the boot that is under way, while its firmware's time lasts."""
    booted = Event("bmk", "host.booted", "on", "cp-1", "powered", data={"grant": "g"}, at=100.0)
    given_up = Event("bmk", "phase.failed", "no DHCP", "cp-1", "booting", at=160.0)
    elsewhere = Event("bmk", "phase.failed", "lost", "cp-1", "reachable", at=160.0)
    assert powered.still_booting([booted, elsewhere], "g", after=50.0)
    assert not powered.still_booting([booted], "another", after=50.0)
    assert not powered.still_booting([booted], "g", after=150.0)
    assert not powered.still_booting([booted, given_up], "g", after=50.0)
    assert powered.still_booting([given_up, booted], "g", after=50.0)
    assert not powered.still_booting([], "g", after=50.0)


def test_foreign_data_needs_the_host_named(simulation: Any) -> None:
    """A disk with LVM is refused, shown in the next plan, and wiped only when a person names the host."""
    m = simulation.machines["worker-1"]
    m.disk = "LVM2_member vg0"
    assert "disk holds LVM2_member vg0" in failures(simulation.provision(["worker-1"]))["worker-1"]
    plan, _ = simulation.look(["worker-1"])
    assert dict(plan.unconfirmed) == {"worker-1": "disk HADISK0004 holds LVM2_member vg0"}
    assert "has to give up by name" in failures(simulation.provision(["worker-1"]))["worker-1"]
    assert (m.disk, m.wipes) == ("LVM2_member vg0", 0)
    bad = failures(simulation.provision(["worker-1"], confirmed=frozenset({"worker-1"})))
    assert "no API server" in bad["worker-1"]
    assert m.wipes == 1


def test_installed_machine_that_is_off_boots_from_its_disk(simulation: Any) -> None:
    """Power on is all that an installed machine needs; it is neither wiped nor offered an installer."""
    simulation.provision()
    m = simulation.machines["worker-2"]
    m.power, m.system = "off", ""
    plan, _ = simulation.look()
    assert [c.kind for h in plan.pending for c in h.changes] == ["power-on", "reach", "verify"]
    assert failures(simulation.provision()) == {}
    assert (m.wipes, m.system) == (1, "disk")


def test_changed_roles_configure_again_and_nothing_else(simulation: Any) -> None:
    """Another digest of what configures a host leads to one converge, without reboot or wipe."""
    simulation.provision()
    simulation.digest = "d2"
    plan, _ = simulation.look()
    assert {c.phase for h in plan.pending for c in h.changes} == {"configured", "baseline"}
    assert failures(simulation.provision()) == {}
    assert [m.cycles for m in simulation.machines.values()] == [0] * 5


def test_a_smoke_test_that_fails_for_a_host_without_changes_is_not_passed_over(simulation: Any) -> None:
    """One worker joins, and pods of another node that was there before fail: the run says so, and does not end well."""
    assert failures(simulation.provision(["cp-1", "cp-2", "cp-3", "worker-1"])) == {}
    simulation.machines["worker-1"].faults.add("pods-broken")
    bad = failures(simulation.provision(["worker-2"]))
    assert bad == {"worker-1": bad["worker-1"]}
    assert "the smoke test failed: pod" in bad["worker-1"]
    assert [e.text for e in simulation.service.since(kind="phase.failed")] == ["the smoke test failed: pod"]


def test_failed_smoke_test_fails_all_its_hosts(simulation: Any) -> None:
    """A cluster-wide check that fails is nobody's success; the next run proves again."""
    simulation.faults.add("dns-broken")
    bad = failures(simulation.provision())
    assert len(bad) == 5
    assert "the smoke test failed: dns" in bad["cp-1"]
    simulation.faults.clear()
    assert failures(simulation.provision()) == {}
    assert simulation.smokes == 2


def test_failed_task_is_told_with_its_message(simulation: Any) -> None:
    """A failed Ansible task ends the host with the task's name and message."""
    simulation.machines["worker-1"].faults.add("fail-configure.yml")
    bad = failures(simulation.provision())
    assert list(bad) == ["worker-1"]
    assert "Ansible: Start kubelet failed" in bad["worker-1"]
    assert "unit kubelet.service failed" in bad["worker-1"]


def test_interrupt_is_journaled_and_continued(simulation: Any) -> None:
    """Cancelling a run marks it as interrupted; the same command finishes the job without a second wipe."""

    async def cancelled() -> None:
        task: asyncio.Task[Any] | None = None

        class Interrupt:
            """As soon as a disk is being written."""

            def take(self, event: Event) -> None:
                if event.kind == "image.progress" and task is not None:
                    task.cancel()

            def close(self) -> None:
                """Nothing is open."""

        task = asyncio.create_task(simulation._provision(None, None, options(Interrupt())))
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancelled())
    assert simulation.service.query("SELECT exit FROM runs")[0][0] == 130
    assert failures(simulation.provision()) == {}
    assert [m.wipes for m in simulation.machines.values()] == [1] * 5


def options(sink: Any) -> Any:
    return Options(sinks=[sink], limits=RunLimits(threads=8, window=0.01, backoff=0.005, grace=0.05), poll=0.005)


def shorten(monkeypatch: Any, silence: float) -> None:
    monkeypatch.setattr(imaging, "SILENCE", {"standard": silence, "emulated": silence})


@pytest.mark.parametrize("steps", range(12))
def test_installation_that_ends_while_one_looks_is_not_done_again(simulation: Any, killed: Any, steps: int) -> None:
    """bmk was killed while a ramdisk wrote; the next run looks for longer than the ramdisk needs. One wipe, not two."""
    with pytest.raises(killed):
        simulation.provision(["cp-1"], kill_after=28)
    for _ in range(steps):
        simulation.tick()
    simulation.slow_looks = 8
    assert failures(simulation.provision(["cp-1"])) == {}
    assert simulation.machines["cp-1"].wipes == 1


def test_plan_that_is_older_than_an_installation_does_not_repeat_it(simulation: Any) -> None:
    """What was seen as not installed, and is installed when its turn comes, is left alone."""
    plan, actuals = simulation.look(["cp-1"])
    assert failures(simulation.provision(["cp-1"])) == {}
    simulation.stale = (plan, actuals)
    assert failures(simulation.provision(["cp-1"])) == {}
    assert (simulation.machines["cp-1"].wipes, simulation.machines["cp-1"].cycles) == (1, 0)


def test_phases_come_in_the_order_they_need() -> None:
    """Every phase of an action comes after the phases it needs."""
    for phases in (PROVISION.phases,):
        names = [p.name for p in phases]
        for index, phase in enumerate(phases):
            assert set(phase.needs) <= set(names[:index])


def test_a_ramdisk_that_claims_as_it_is_powered_off_is_not_waited_for(simulation: Any) -> None:
    """A killed run left a machine on with an open grant: its claim of that moment ends, and a new attempt begins."""
    host = simulation.dc.hosts["cp-1"]
    machine = simulation.machines["cp-1"]
    grants.open_grant(simulation.service, grants.permission(host, simulation.image()), time.time())
    machine.power, machine.system, machine.steps = "on", "ramdisk", -100_000  # it does nothing else by itself
    machine.faults.add("claims-as-it-goes-off")
    assert failures(simulation.provision(["cp-1"])) == {}
    outcomes = simulation.service.query("SELECT outcome FROM grants WHERE host = 'cp-1' ORDER BY attempt")
    assert [outcome for (outcome,) in outcomes] == ["failed", "spent"]
    assert machine.wipes == 1
