"""`bmk upgrade` as it is typed: plans, refusals, what is accepted, and how runs end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bmk.datacenter.resolve import with_versions
from bmk.engine.session import new_run_id
from bmk.errors import Exit
from bmk.journal.records import UpgradeRecord
from bmk.live.workspace import Workspace

OLD, NEW = "1.36.3", "1.37.2"
BACKUP = ("--accept", "backup=a test without backups")


@pytest.fixture
def old(simulation: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A cluster in memory that runs an older version than its file says; commands work on it."""
    simulation.dc = with_versions(simulation.dc, {"lab-ha": OLD})
    simulation.provision()
    simulation.dc = with_versions(simulation.dc, {"lab-ha": NEW})

    def opened(_: str) -> Workspace:
        return Workspace(simulation.dc, simulation.service, simulation, {}, new_run_id())

    monkeypatch.setattr("bmk.live.workspace.open_workspace", opened)
    monkeypatch.setattr("bmk.live.upgrade_service.installable", lambda _: (OLD, NEW))
    monkeypatch.setattr("bmk.live.upgrade_service.require_version", lambda _: None)
    return simulation


def test_a_plan_says_the_order_and_what_blocks_it(cli: Any, old: Any) -> None:
    """Exit code 2; nothing is written down. As a table and as data."""
    said = cli("upgrade", "lab-ha", "--plan")
    assert said.code == Exit.PENDING
    assert f"cluster lab-ha: {OLD} to {NEW}" in said.out
    assert "one at a time: cp-1, cp-2, cp-3" in said.out
    assert "canary" in said.out
    assert "--accept backup=REASON" in said.out
    (cluster,) = json.loads(cli("upgrade", "lab-ha", "--plan", "-o", "json").out)["clusters"]
    assert [b["kind"] for b in cluster["blockers"]] == ["backup"]
    assert cluster["batches"] == [["worker-1"], ["worker-2"]]
    assert UpgradeRecord.load_all(old.service) == {}


def test_what_blocks_it_ends_it_before_anything_begins(cli: Any, old: Any) -> None:
    """Exit code 6, with the next command; without a yes it is declined, and nothing stays on record."""
    said = cli("upgrade", "lab-ha", "--yes")
    assert said.code == Exit.REFUSED
    assert "backup: dc.yml says nothing of backups" in said.err
    assert cli("upgrade", "lab-ha", *BACKUP).code == Exit.DECLINED
    assert UpgradeRecord.load_all(old.service) == {}
    assert not any(m.drains for m in old.machines.values())


def test_it_is_done_once(cli: Any, old: Any) -> None:
    """The second time says that the cluster has what the file says."""
    said = cli("upgrade", "lab-ha", "--yes", *BACKUP)
    assert said.code == Exit.OK, said.err
    assert f"cluster lab-ha runs {NEW}" in said.err
    assert {m.kubelet for m in old.machines.values()} == {NEW}
    again = cli("upgrade", "lab-ha", "--yes", *BACKUP)
    assert (again.code, [m.upgrades for m in old.machines.values()]) == (Exit.OK, [1] * 5)
    assert cli("upgrade", "lab-ha", "--plan").code == Exit.OK
    (accepted,) = old.service.since(kind="upgrade.accepted")
    assert "a test without backups" in accepted.text


def test_a_pause_is_on_record_and_status_says_how_to_go_on(cli: Any, old: Any) -> None:
    """An abort of what is paused begins nothing, a resume ends it; what was accepted need not be said again."""
    assert cli("upgrade", "lab-ha", "--yes", "--pause-after", "control-plane", *BACKUP).code == Exit.OK
    said = cli("upgrade", "lab-ha", "--yes", "--abort")
    assert said.code == Exit.OK, said.err
    assert "2 hosts are still to be upgraded; next: bmk upgrade lab-ha --resume" in said.err
    assert "--resume" in cli("upgrade", "lab-ha", "--yes").err
    assert cli("upgrade", "lab-ha", "--yes", "--resume").code == Exit.OK
    assert {m.kubelet for m in old.machines.values()} == {NEW}


def test_an_abort_of_what_never_began_takes_it_back(cli: Any, old: Any) -> None:
    """So that every other command works on the cluster again."""
    old.machines["cp-1"].faults.add("pod-stays")
    old.faults.add("backup-fails")
    UpgradeRecord(target=NEW, members=("cp-1",)).save(old.service, "lab-ha")
    assert cli("upgrade", "lab-ha", "--yes", "--abort").code == Exit.OK
    assert UpgradeRecord.load_all(old.service) == {}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--accept", "backup"), Exit.USAGE),
        (("--accept", "backup=short"), Exit.USAGE),
        (("--accept", "etcd=it will be fine"), Exit.CONFIG),
        (("--abort", "--resume"), Exit.USAGE),
        (("--abort",), Exit.REFUSED),
        (("--to", "latest"), Exit.CONFIG),
        (("--to", OLD, *BACKUP), Exit.OK),
        (("--without", "nobody"), Exit.CONFIG),
        (("nowhere",), Exit.CONFIG),
    ],
)
def test_what_makes_no_sense_is_refused(cli: Any, old: Any, words: tuple[str, ...], code: Exit) -> None:
    """Nothing was drained, and what is wrong is named."""
    if code is Exit.OK:  # there is nothing to do for a version that it has
        words = words[:2]
    said = cli("upgrade", "lab-ha", "--yes", *words)
    assert said.code == code, said.err
    assert not any(m.drains for m in old.machines.values())
    assert UpgradeRecord.load_all(old.service) == {}


def test_a_version_beyond_the_file_is_planned_and_not_done(cli: Any, old: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """dc.yml is what a cluster becomes: a version that it does not lead to is written there first."""
    monkeypatch.setattr("bmk.live.upgrade_service.installable", lambda _: (OLD, NEW, "1.38.0"))
    assert (
        "1.37.2; then the same command goes on with 1.38.0" in cli("upgrade", "lab-ha", "--plan", "--to", "1.38.0").out
    )
    said = cli("upgrade", "lab-ha", "--yes", "--to", "1.38.0", *BACKUP)
    assert said.code == Exit.CONFIG
    assert "not on the way" in said.err
    assert not any(m.drains for m in old.machines.values())
