"""The encryption key is rotated while clients write and read, and every run ends where nothing is left to be done."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from bmk.errors import PreflightRefused
from bmk.journal.diagnosis import diagnose_cluster
from bmk.journal.records import BackupRecord, KeyRotationOrder, ProvenBackup
from bmk.phases.encryption_key import OLDEST_BACKUP

PLANES = ["cp-1", "cp-2", "cp-3"]
CLUSTER = "lab-ha"


@pytest.fixture
def cluster(simulation: Any) -> Any:
    """With secrets under the first key, clients that write and read, and a backup of just now."""
    simulation.provision()
    simulation.secrets = {f"s{n:03}": simulation.machines["cp-1"].vault.file[0] for n in range(8)}
    simulation.clients = 8
    backed_up(simulation)
    return simulation


def backed_up(simulation: Any, ago: float = 60.0) -> None:
    one = ProvenBackup(name="x", at=time.time() - ago, sha256="0", size=1, revision=1, keys=1, cluster_id="1")
    BackupRecord(kept=(one,)).save(simulation.service, CLUSTER)


def names(simulation: Any) -> list[list[str]]:
    return [[name for name, _ in simulation.machines[host].vault.file] for host in PLANES]


def restarts(simulation: Any) -> list[int]:
    return [simulation.machines[name].pki.restarts.count("kube-apiserver") for name in PLANES]


def assert_rotated(simulation: Any, key: str) -> None:
    """One key everywhere, the same, read by all, and nothing under another."""
    machines = [simulation.machines[name] for name in PLANES]
    assert names(simulation) == [[key]] * 3
    assert len({m.vault.file for m in machines}) == 1
    assert all(m.vault.read == m.vault.file for m in machines)
    assert {name for name, _ in simulation.secrets.values()} == {key}
    assert KeyRotationOrder.load(simulation.service, CLUSTER) is None


def test_the_key_is_replaced_and_every_api_server_begins_anew_three_times(cluster: Any) -> None:
    """Clients read and write meanwhile; drift is told of the file that is left."""
    plan, _ = cluster.rotation_plan()
    assert [(scope.changes[0].phase, len(scope.changes)) for scope in plan.scoped] == [
        ("key_added", 6),
        ("key_first", 6),
        ("secrets_rewritten", 1),
        ("key_dropped", 7),
    ]
    assert cluster.rotate() == []
    assert_rotated(cluster, "key2")
    assert restarts(cluster) == [3, 3, 3]
    sums = {cluster.machines[n].vault.seen(n, 0, up=True).sha256 for n in PLANES}
    assert {cluster.machines[n].vault.accepted for n in PLANES} == sums
    assert diagnose_cluster(cluster.service, CLUSTER, "lab-ha").cause is None


def test_another_rotation_has_another_name(cluster: Any) -> None:
    """etcd tells keys apart by their names only."""
    cluster.rotate()
    assert cluster.rotate() == []
    assert_rotated(cluster, "key3")


def test_killed_at_every_point_the_same_command_finishes(cluster: Any, killed: type[BaseException]) -> None:
    """Before and after every write to the journal and every act on a host; API servers also begin anew by themselves.

    At no moment does one of them meet a secret that it has no key for (tests/simulation.py looks all the time).
    """
    for name in PLANES:
        cluster.machines[name].faults.add("api-ends")
    point, done = 0, False
    while not done:
        before = names(cluster)[0]
        try:
            cluster.rotate(kill_after=point)
            done = True
        except killed:
            if KeyRotationOrder.load(cluster.service, CLUSTER) is not None:
                assert cluster.rotate() == [], f"killed at {point}"
        (key,) = names(cluster)[0]
        assert [key] != before
        assert_rotated(cluster, key)
        point += 1
    assert point > 100


def test_killed_and_killed_again(cluster: Any, killed: type[BaseException]) -> None:
    """A run that goes on is killed as well, and a host forgets since when its file is there."""
    for point in range(3, 60, 7):
        for budget in (point, point // 2, point):
            try:
                cluster.rotate(kill_after=budget)
            except killed:
                cluster.machines["cp-2"].vault.noted = None
        assert cluster.rotate() == []
        assert KeyRotationOrder.load(cluster.service, CLUSTER) is None


@pytest.fixture
def left_alone(cluster: Any) -> Iterator[Any]:
    """A cluster of which nothing may have been changed at the end."""
    before = names(cluster)
    yield cluster
    assert names(cluster) == before
    assert restarts(cluster) == [0, 0, 0]


def refusal(simulation: Any, **more: Any) -> Any:
    (outcome,) = simulation.rotate(**more)
    assert isinstance(outcome.error, PreflightRefused)
    cause = diagnose_cluster(simulation.service, CLUSTER, "lab-ha").cause
    assert cause is not None
    assert cause.what == outcome.error.what
    assert "bmk" in cause.hint
    return outcome.error


def test_nothing_is_begun_while_a_control_plane_is_away(left_alone: Any) -> None:
    """Nobody knows what its API server has read."""
    left_alone.machines["cp-2"].pki.down["kube-apiserver"] = 10**6
    assert "cp-2" in refusal(left_alone).why


def test_nothing_is_begun_while_etcd_has_a_member_that_nobody_knows(left_alone: Any) -> None:
    """A control plane that is half joined has the old key, and would be passed over."""
    left_alone.etcd.add("worker-1")
    assert "worker-1" in refusal(left_alone).why


def test_nothing_is_begun_without_a_new_backup(left_alone: Any) -> None:
    """Too old, or none; the plan says so as well."""
    backed_up(left_alone, OLDEST_BACKUP + 60)
    assert "younger than a day" in refusal(left_alone).what
    BackupRecord().save(left_alone.service, CLUSTER)
    assert "none is on record" in refusal(left_alone).why
    _, seen = left_alone.rotation_plan()
    assert "no proven backup" in seen.clusters[CLUSTER].encryption.refused


def test_an_old_backup_can_be_accepted_with_a_reason(cluster: Any) -> None:
    """It is on record until all is done."""
    backed_up(cluster, OLDEST_BACKUP + 60)
    assert cluster.rotate(accepted="restored by hand yesterday") == []
    assert_rotated(cluster, "key2")


def test_a_rotation_that_was_begun_needs_no_newer_backup(cluster: Any, killed: type[BaseException]) -> None:
    """It would have to wait in the middle of the way otherwise."""
    with pytest.raises(killed):
        cluster.rotate(kill_after=30)
    order = KeyRotationOrder.load(cluster.service, CLUSTER)
    assert order is not None
    assert order.texts
    backed_up(cluster, OLDEST_BACKUP + 60)
    assert cluster.rotate() == []
    assert_rotated(cluster, "key2")


def test_nothing_is_begun_when_secrets_are_under_a_key_that_no_file_has(left_alone: Any) -> None:
    """Somebody edited the files of API servers that still run with the old one."""
    left_alone.clients = 0
    lost = ("key0", "lost")
    left_alone.secrets["s000"] = lost
    for name in PLANES:
        left_alone.machines[name].vault.read += (lost,)
    assert "under key0" in refusal(left_alone).why


def test_control_planes_with_different_keys_are_left_alone(left_alone: Any) -> None:
    """Of the same name, and not the same: no order of steps would be safe."""
    left_alone.clients, left_alone.secrets = 0, {}
    left_alone.machines["cp-3"].vault.file = left_alone.machines["cp-3"].vault.read = (("key1", "another"),)
    assert "key1 is another key on" in refusal(left_alone).why


def test_secrets_that_cannot_be_written_anew_keep_the_old_key(cluster: Any) -> None:
    """A webhook denies it: each is named, everything can be read, and the same command goes on when it allows it."""
    cluster.faults.add("webhook-denies")
    cluster.clients = 0
    outcomes = [o for o in cluster.rotate() if o.error is not None]
    assert [o.phase for o in outcomes] == ["secrets_rewritten"]
    assert "s000: 403 denied" in outcomes[0].error.why
    assert names(cluster) == [["key2", "key1"]] * 3
    cluster.faults.clear()
    assert cluster.rotate() == []
    assert_rotated(cluster, "key2")


def test_an_api_server_that_stays_away_stops_all(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other one is taken away; the others read everything; the next command is named and goes on."""
    monkeypatch.setattr("bmk.phases.encryption_key._COMES_BACK", {"standard": 0.3, "emulated": 0.3})
    cluster.machines["cp-2"].faults.add("pod-stays-away")
    (outcome,) = cluster.rotate()
    assert outcome.error is not None
    assert (outcome.error.where, outcome.phase) == ("cp-2", "key_added")
    assert restarts(cluster) == [1, 1, 0]
    cause = diagnose_cluster(cluster.service, CLUSTER, "lab-ha").cause
    assert cause is not None
    assert "crictl" in cause.hint
    cluster.machines["cp-2"].faults.clear()
    assert cluster.rotate() == []
    assert_rotated(cluster, "key2")


def test_the_old_key_stays_while_a_backup_is_taken(cluster: Any) -> None:
    """Its snapshot could need the old key, and the file that it keeps beside it would not have it."""
    hold = cluster.service.hold(f"backup-{CLUSTER}")
    assert hold is not None
    found: list[list[str]] = []

    class Watching:
        def take(self, event: Any) -> None:
            if event.kind == "phase.waiting" and "backup" in event.text:
                found.extend(names(cluster))
                hold.release()

        def close(self) -> None:
            pass

    assert cluster.rotate(sinks=[Watching()]) == []
    assert found == [["key2", "key1"]] * 3
    assert_rotated(cluster, "key2")
