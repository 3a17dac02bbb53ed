"""A member of etcd is stopped only when the rest can go on without it."""

from __future__ import annotations

import json
from collections.abc import Set
from pathlib import Path

import pytest
from ansible.module_utils import bmk_etcd, bmk_kubeadm_files
from ansible.module_utils.bmk_batch import Failed


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is on the way here, so nobody is waited for."""
    monkeypatch.setattr(bmk_etcd, "GRACE", 0)
    monkeypatch.setattr(bmk_kubeadm_files, "GRACE", 0)


def _says(where: Path, monkeypatch: pytest.MonkeyPatch, members: str, here: bool = True) -> None:
    """An etcdctl that says of each member whether it is well (+) or not (-); the first is the one here."""
    every = [{"endpoint": f"https://10.0.0.{n}:2379", "health": sign == "+"} for n, sign in enumerate(members, 1)]
    program = where / "etcdctl"
    one = json.dumps([{"endpoint": "https://127.0.0.1:2379", "health": here}])
    program.write_text(
        f"#!/bin/sh\ncase \"$*\" in *--cluster*) echo '{json.dumps(every)}';; *) echo '{one}';; esac\nexit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(bmk_etcd, "ETCDCTL", str(program))


@pytest.mark.parametrize("members", ["+", "++", "+++", "++++-", "+++++"])
def test_a_member_may_stop_while_a_majority_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: str
) -> None:
    """Three with all well, five with one dead; of one and of two there is no way without a moment of silence."""
    _says(tmp_path, monkeypatch, members)
    bmk_etcd.may_stop()


@pytest.mark.parametrize("members", ["+-", "+-+", "++--+", "+++--"])
def test_a_member_that_is_needed_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: str) -> None:
    """Without it nothing could be written any more: it is left as it is, and the error names who is not well."""
    _says(tmp_path, monkeypatch, members)
    with pytest.raises(Failed, match=r"https://10\.0\.0\.\d:2379.* not well"):
        bmk_etcd.may_stop()


def test_a_member_that_is_down_may_be_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its restart takes nothing from the majority, whoever else is ill."""
    _says(tmp_path, monkeypatch, "-+-", here=False)
    bmk_etcd.may_stop()


@pytest.mark.parametrize("said", ["", "not JSON", "{}", "[1, null]"])
def test_a_member_that_says_nonsense_is_not_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """It counts as down: it may be mended, and nobody waits for it as if it were up."""
    program = tmp_path / "etcdctl"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)
    monkeypatch.setattr(bmk_etcd, "ETCDCTL", str(program))
    assert not bmk_etcd.healthy()
    bmk_etcd.may_stop()


@pytest.mark.parametrize(
    ("answering", "stays"), [({1, 2, 3}, False), ({1, 3}, False), ({1}, True), ({2, 3}, False), (set(), False)]
)
def test_the_last_api_server_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answering: Set[int], stays: bool
) -> None:
    """A change that broke the others does not take the only one that answers; one that is down may be mended."""
    _says(tmp_path, monkeypatch, "+++")
    manifest = tmp_path / "kube-apiserver.yaml"
    manifest.write_text("    - --advertise-address=10.0.0.1\n")
    monkeypatch.setattr(bmk_kubeadm_files, "API", str(manifest))
    monkeypatch.setattr(bmk_kubeadm_files, "_ready", lambda address: int(address.rpartition(".")[2]) in answering)
    if not stays:
        bmk_kubeadm_files._not_the_last()
        return
    with pytest.raises(Failed, match=r"only one that answers, those of 10\.0\.0\.2, 10\.0\.0\.3 do not"):
        bmk_kubeadm_files._not_the_last()
