"""What phases rely on of a cluster, tried on the one in memory (tests/simulation.py) and on a real API server alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import Host
from bmk.engine.services import ClusterServices
from bmk.errors import BmkError, Unreachable
from tests.services.cluster.conftest import Cluster
from tests.services.cluster.conftest import cluster as real_cluster
from tests.simulation import ROOT, Simulation

pytestmark = pytest.mark.services
WORKER, ABSENT = "worker-1", "worker-2"
api = real_cluster  # pytest finds a fixture by the module's name for it


@dataclass
class Subject:
    """One implementation: its services, its hosts, and how its API is taken away."""

    services: ClusterServices
    hosts: dict[str, Host]
    take_away: Callable[[], ClusterServices]


@pytest.fixture(params=["in memory", "real"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    """A cluster with the node WORKER, without the node ABSENT."""
    if request.param == "in memory":
        yield _in_memory(tmp_path)
    else:
        yield _real(request.getfixturevalue("api"))


def _in_memory(place: Path) -> Subject:
    dc = load_datacenter(ROOT / "inventories" / "lab-ha" / "dc.yml")
    simulation = Simulation(dc, place)  # on a server, the directory's name is that of the journal
    simulation.provision(["cp-1", WORKER])
    simulation.policies_applied.clear()

    def take_away() -> ClusterServices:
        for machine in simulation.machines.values():
            machine.power, machine.system = "off", ""
        return simulation.cluster("lab-ha")

    return Subject(simulation.cluster("lab-ha"), dict(simulation.dc.hosts), take_away)


def _real(api: Cluster) -> Subject:
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": WORKER}}
    assert api.server.kubectl("apply", "-f", "-", send=body).returncode == 0
    api.server.kubectl("delete", "validatingadmissionpolicies,validatingadmissionpolicybindings", "--all")

    def take_away() -> ClusterServices:
        gone = Cluster(api.server, api.file)
        (api.file.parent / "gone").write_text(api.server.kubeconfig.read_text().replace(str(api.server.port), "1"))
        return gone.live(api.file.parent / "gone")

    return Subject(api.live(), dict(load_datacenter(api.file).hosts), take_away)


def test_nodes_are_those_that_the_api_knows(subject: Subject) -> None:
    """By the name of the host; one that never joined is not among them."""
    nodes = subject.services.nodes()
    assert nodes[WORKER] in ("ready", "not-ready")
    assert ABSENT not in nodes


def test_policies_are_put_in_once(subject: Subject) -> None:
    """Stale before, current after; a second time nothing is changed, and that is what is returned."""
    assert subject.services.policies() == "stale"
    assert subject.services.apply_policies() != []
    assert subject.services.policies() == "current"
    assert list(subject.services.apply_policies()) == []


def test_a_removed_node_is_gone_and_may_be_removed_again(subject: Subject) -> None:
    """A run that was killed in between repeats it."""
    subject.services.remove(subject.hosts[WORKER])
    assert WORKER not in subject.services.nodes()
    subject.services.remove(subject.hosts[WORKER])
    subject.services.drain(subject.hosts[WORKER], 5)


def test_nothing_that_waits_is_nothing_approved(subject: Subject) -> None:
    """Approving is repeated every few seconds."""
    subject.services.approve()
    assert [d for d in subject.services.approve() if not d.problem] == []


def test_an_api_that_is_away_is_an_error_that_is_tried_again(subject: Subject) -> None:
    """Whatever is asked raises Unreachable, which phases retry until their deadline; nobody is live."""
    away = subject.take_away()
    assert list(away.live()) == []
    for ask in (away.nodes, away.policies, away.apply_policies, away.etcd):
        with pytest.raises(Unreachable):
            ask()
    with pytest.raises(BmkError):
        away.remove(subject.hosts[WORKER])
