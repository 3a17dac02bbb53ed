"""`bmk provision` and clusters that cannot become what the file says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bmk.actions.provision import PROVISION
from bmk.cli.running import RunRequest, _report, run_action
from bmk.datacenter.load import load_datacenter
from bmk.engine.executor import Outcome
from bmk.engine.lock import RunLock
from bmk.errors import PreflightRefused, SomeHostsFailed
from bmk.journal import Journal
from bmk.live.services import LiveServices
from bmk.live.workspace import Workspace
from bmk.plan.guards import RECORD, made_with

ROOT = Path(__file__).resolve().parents[3]
WISH = RunRequest("bmk provision lab-ha", yes=True, confirm=())


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Of a cluster that was made with an older version than the file says."""
    monkeypatch.setenv("BMK_STATE_DIR", str(tmp_path))
    dc = load_datacenter(ROOT / "inventories" / "lab-ha" / "dc.yml")
    journal = Journal.open(tmp_path / dc.name)
    journal.record("cp-1", "joined", {"cluster": "lab-ha", "at": 1.0})
    journal.record("lab-ha", RECORD, made_with(dc, "lab-ha") | {"kubernetes.version": "1.30.1"})
    return Workspace(dc, journal, LiveServices(dc, journal, {}, tmp_path / "run"), {}, "r1")


def test_provision_leaves_such_a_cluster_alone(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """With no other host at hand nothing is asked and nothing is done: refused, with the field and the place."""
    with RunLock(workspace.journal, "r1") as lock, pytest.raises(PreflightRefused) as caught:
        run_action(workspace, PROVISION, list(workspace.dc.hosts.values()), WISH, lock)
    assert "kubernetes.version 1.30.1" in caught.value.why
    assert "dc.yml:" in caught.value.why
    assert workspace.journal.since(kind="run.") == []
    assert "no changes; 0 hosts" in capsys.readouterr().err


def test_other_hosts_are_done_and_the_exit_code_says_not_all(workspace: Workspace) -> None:
    """Exit 4 with the reason of those that were left alone, as for any run in which some are not done."""
    alone = PreflightRefused("its hosts are left alone", why="another version", hint="put it back")
    with pytest.raises(SomeHostsFailed, match="1 hosts done; its hosts are left alone") as caught:
        _report([Outcome("spare-1", "ready")], workspace, WISH, alone)
    assert (caught.value.why, caught.value.hint) == ("another version", "put it back")


def test_a_cluster_that_is_as_the_file_says_is_worked_on(workspace: Workspace) -> None:
    """All its hosts are at hand; a spare always is."""
    hosts = list(workspace.dc.hosts.values())
    spare = replace(hosts[-1], cluster=None, role="spare")
    assert [h.name for h in workspace.allowed([*hosts[:-1], spare])[0]] == [spare.name]
    workspace.journal.record("lab-ha", RECORD, made_with(workspace.dc, "lab-ha"))
    assert workspace.allowed(hosts) == (hosts, [])
