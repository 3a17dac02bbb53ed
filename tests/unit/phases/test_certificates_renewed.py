"""Certificates are renewed one static pod after the other, and every run ends where nothing is left to be done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bmk.certificates.kind import DAY, STATIC_PODS
from bmk.journal.diagnosis import find_cause
from bmk.journal.host_status import project
from bmk.journal.records import RenewalOrder
from bmk.live.observe import observe
from bmk.live.observe_certificates import blind, certificates_look
from tests.pki import MINE

PLANES = ["cp-1", "cp-2", "cp-3"]
PODS = [pod.name for pod in STATIC_PODS]


@pytest.fixture
def aged(simulation: Any) -> Any:
    """A cluster whose certificates all end in five days, the deployer's kubeconfig with them."""
    return age(simulation)


def age(simulation: Any) -> Any:
    simulation.provision()
    for name in PLANES:
        simulation.machines[name].pki.age(5 * DAY)
    simulation.renew_kubeconfig("lab-ha")
    return simulation


def left(simulation: Any) -> list[str]:
    plan, _ = simulation.renewal_plan()
    return [change.text for host in plan.pending for change in host.changes] + [
        change.text for scope in plan.scoped for change in scope.changes
    ]


def test_nothing_is_renewed_that_lasts(simulation: Any) -> None:
    """A new cluster: the plan is empty."""
    simulation.provision()
    simulation.renew_kubeconfig("lab-ha")
    assert left(simulation) == []


def test_all_is_renewed_once_in_order_and_nothing_is_left(aged: Any) -> None:
    """Each control plane: administrators first, then each static pod in its order, once; then the kubeconfig."""
    before = aged.kubeconfig
    assert left(aged) != []
    assert [o.error for o in aged.renew()] == [None] * 3
    for name in PLANES:
        pki = aged.machines[name].pki
        assert pki.restarts == PODS
        assert sorted(pki.renewed) == sorted(kind.name for kind in MINE)
        assert pki.renewed[0] == "admin.conf"
    assert aged.kubeconfig.ends > before.ends
    assert left(aged) == []


def test_only_what_is_due_is_renewed_and_only_its_pod_begins_anew(simulation: Any) -> None:
    """The other static pods and control planes go on as they were."""
    age(simulation)
    for name in PLANES:
        simulation.machines[name].pki.age(300 * DAY)
    simulation.renew_kubeconfig("lab-ha")
    simulation.machines["cp-2"].pki.age(5 * DAY, "scheduler.conf")
    assert [o.error for o in simulation.renew()] == [None]
    assert simulation.machines["cp-2"].pki.restarts == ["kube-scheduler"]
    assert simulation.machines["cp-2"].pki.renewed == ["scheduler.conf"]
    assert left(simulation) == []


def test_what_was_renewed_and_not_read_is_only_started_again(simulation: Any) -> None:
    """Somebody ran kubeadm by hand: the API server still shows the old one."""
    simulation.provision()
    simulation.renew_kubeconfig("lab-ha")
    pki = simulation.machines["cp-1"].pki
    pki.renew("apiserver")
    pki.renewed.clear()
    assert [o.error for o in simulation.renew()] == [None]
    assert (pki.restarts, pki.renewed) == (["kube-apiserver"], [])
    assert left(simulation) == []


def test_a_pod_that_begins_anew_elsewhere_is_waited_for(aged: Any) -> None:
    """A killed run had started the last pod of cp-2 again; nothing else is left there: the others begin after it."""
    machine = aged.machines["cp-2"].pki
    machine.age(300 * DAY)
    machine.restart("kube-scheduler")
    assert [o.error for o in aged.renew()] == [None, None]
    assert machine.restarts == ["kube-scheduler"]
    assert left(aged) == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills=st.lists(st.integers(0, 150), min_size=1, max_size=3), everything=st.booleans())
@example(kills=[38, 45, 45], everything=False)
def test_killed_anywhere_the_same_command_finishes(
    make_simulation: Callable[[], Any], killed: type[BaseException], kills: list[int], everything: bool
) -> None:
    """Never two static pods or two control planes at a time, quorum kept, and nothing left afterwards."""
    simulation = age(make_simulation())
    for budget in kills:
        try:
            simulation.renew(kill_after=budget, everything=everything)
        except killed:
            continue
    assert [o for o in simulation.renew() if o.error is not None] == []
    assert left(simulation) == []
    assert RenewalOrder.load_all(simulation.service) == {}
    for name in PLANES:
        assert len(simulation.machines[name].pki.restarts) <= (1 + len(kills)) * len(PODS)


def test_a_pod_that_keeps_the_old_one_fails_its_host_and_stops_the_others(aged: Any) -> None:
    """No further control plane is touched; the cause names the program, and the next command goes on."""
    aged.machines["cp-1"].faults.add("pod-reads-old")
    phase = "bmk.phases.certificates_renewed.CertificatesRenewed.deadline"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phase, lambda *_: 0.3)
        outcomes = {o.host: o.error for o in aged.renew()}
    assert outcomes["cp-1"] is not None
    assert "etcd does not use its new certificate" in outcomes["cp-1"].what
    assert "bmk certs renew" in outcomes["cp-1"].hint
    assert [aged.machines[name].pki.restarts for name in PLANES] == [["etcd"], [], []]
    assert {type(outcomes[name]).__name__ for name in ("cp-2", "cp-3")} == {"NotBegun"}
    cause = find_cause(aged.service.since(host="cp-1"), "cp-1", project(aged.service, "lab-ha", None))
    assert cause is not None
    assert "bmk certs renew" in cause.hint


def test_what_has_ended_is_renewed_everywhere_before_anything_is_started_again(aged: Any) -> None:
    """Only then does etcd say again who is well; each is renewed once."""
    for name in PLANES:
        aged.machines[name].pki.age(-DAY)
    plan, _ = aged.renewal_plan()
    assert all(host.phases[0] == "urgent_renewed" for host in plan.pending)
    began = aged.service.last_seq()
    assert [o.error for o in aged.renew()] == [None] * 3
    for name in PLANES:
        pki = aged.machines[name].pki
        assert sorted(pki.renewed) == sorted(kind.name for kind in MINE)
        assert pki.restarts == PODS
    assert left(aged) == []
    kinds = [event.kind for event in aged.service.since(began)]
    assert kinds.count("certificates.renewing") == kinds.count("certificates.renewed") == 3 * (1 + len(PODS))


def test_what_ends_in_the_middle_of_a_run_does_not_stall_it(aged: Any) -> None:
    """etcd of the last control plane has half an hour left, and the others take longer than that."""
    aged.machines["cp-3"].pki.age(1800, "etcd-server", "etcd-peer")
    plan, _ = aged.renewal_plan()
    first = {host.host: host.phases[0] for host in plan.pending}
    assert first == {"cp-1": "certificates_renewed", "cp-2": "certificates_renewed", "cp-3": "urgent_renewed"}
    assert [o.error for o in aged.renew()] == [None] * 3
    assert set(aged.machines["cp-3"].pki.renewed[:2]) == {"etcd-server", "etcd-peer"}
    assert all(aged.machines[name].pki.restarts == PODS for name in PLANES)
    assert left(aged) == []


def test_kubeadm_that_fails_is_told_in_its_words(aged: Any) -> None:
    """And nothing was started again."""
    aged.machines["cp-1"].faults.add("kubeadm-fails")
    outcomes = {o.host: o.error for o in aged.renew()}
    assert "no space left" in outcomes["cp-1"].why
    assert aged.machines["cp-1"].pki.restarts == []


def test_the_last_api_server_is_left_alone(aged: Any) -> None:
    """The others do not serve for longer than they may."""
    for name in ("cp-2", "cp-3"):
        aged.machines[name].pki.down["kube-apiserver"] = 10**6
    outcomes = {o.host: o.error for o in aged.renew(["cp-1"])}
    assert "left alone" in outcomes["cp-1"].what
    assert aged.machines["cp-1"].pki.restarts == []


def test_all_goes_on_where_it_was_killed(simulation: Any, killed: type[BaseException]) -> None:
    """What an order has done is not done again."""
    simulation.provision()
    simulation.renew_kubeconfig("lab-ha")
    with pytest.raises(killed):
        simulation.renew(kill_after=60, everything=True)
    assert [o.error for o in simulation.renew(everything=True) if o.error] == []
    names = sorted(kind.name for kind in MINE)
    for name in PLANES:
        renewed = simulation.machines[name].pki.renewed
        assert sorted(set(renewed)) == names
        assert len(renewed) < 2 * len(names)


def test_requests_of_kubelets_are_approved(simulation: Any) -> None:
    """A serving certificate that waits is something to do, whoever asked when."""
    simulation.provision()
    simulation.renew_kubeconfig("lab-ha")
    simulation.machines["worker-1"].approved = False
    assert left(simulation) == ["approve certificates of worker-1"]
    simulation.renew()
    assert simulation.machines["worker-1"].approved
    assert left(simulation) == []


def test_only_what_hides_certificates_is_blindness(simulation: Any) -> None:
    """A BMC that is silent is no matter of certificates; an API server that shows none is."""
    simulation.provision()
    hosts = [simulation.dc.hosts[name] for name in ("cp-1", "worker-1")]
    simulation.machines["worker-1"].faults |= {"bmc-dead", "no-ssh"}
    before = observe(simulation.dc, simulation.service, simulation, [h.name for h in hosts], threads=2)
    look = certificates_look(simulation, hosts, {})
    assert before.hosts["worker-1"].trouble
    assert blind(before, look(before)) == []
    simulation.machines["cp-1"].pki.down["kube-apiserver"] = 10**6
    assert blind(before, look(before)) == ["cp-1"]
