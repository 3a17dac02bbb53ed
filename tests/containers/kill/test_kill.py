"""kill -9 of `bmk provision` with real machines, agents, Ansible and kubeadm: the same command finishes the job."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from bmk.journal import Event
from tests.containers.rooted import OWN, as_before, end_programs, until, users

pytestmark = pytest.mark.containers


def kill_when(lab: Any, seen: Callable[[Event], bool]) -> None:
    """Provision until an event of this run is seen, then kill -9."""
    journal = lab.journal
    seq, process = journal.last_seq(), lab.start("provision", "--yes")
    end = time.monotonic() + 900
    while True:
        events = journal.since(seq)
        if any(seen(e) for e in events):
            break
        seq = events[-1].seq if events else seq
        said = (lab.state / "run.log").read_text()[-3000:]
        assert process.poll() is None, f"ended with {process.returncode}: {said}"
        assert time.monotonic() < end, "the moment to kill never came"
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    journal.close()


def test_killed_at_every_dangerous_moment_the_same_command_finishes(lab: Any) -> None:
    """Killed in image write, Ansible, kubeadm init and join: no disk is wiped twice, one cluster is begun."""
    moments: list[tuple[str, Callable[[Event], bool]]] = [
        ("image write", lambda e: e.kind == "image.progress"),
        ("Ansible", lambda e: e.kind == "task.changed" and e.phase == "configured"),
        ("kubeadm init", lambda e: e.kind == "cluster.begun"),
        ("kubeadm join", lambda e: e.host == "worker-1" and e.phase == "joined" and e.source == "ansible"),
    ]
    for name, moment in moments:
        kill_when(lab, moment)
        lab.bmk("status")
        print(f"killed during {name}")  # noqa: T201 - shown when a later moment fails
    lab.bmk("provision", "--yes")
    assert dict(lab.journal.query("SELECT host, count(*) FROM grants WHERE outcome = 'spent' GROUP BY host")) == {
        "cp-1": 1,
        "worker-1": 1,
    }
    assert lab.journal.query("SELECT count(*) FROM events WHERE kind = 'image.written'")[0][0] == 2
    assert {e.host for e in lab.journal.since(kind="cluster.begun")} == {"cp-1"}


def test_nodes_reach_the_api_through_the_balancer_of_others(lab: Any) -> None:
    """`endpoint.external`: workers and administrators use it, and believe its certificate."""
    assert "https://10.87.0.1:7443" in lab.bmk("ssh", "worker-1", "--", "grep server: /etc/kubernetes/kubelet.conf")
    assert "server: https://10.87.0.1:7443" in lab.bmk("kubeconfig")
    assert set(lab.nodes()) == {"cp-1", "worker-1"}


def test_second_provision_changes_nothing(lab: Any) -> None:
    """After that, plan exits 0 and provision says that nothing is to do."""
    lab.bmk("plan")
    before = lab.journal.last_seq()
    lab.bmk("provision", "--yes")
    assert [e.kind for e in lab.journal.since(before) if e.kind.startswith(("phase.", "task.", "grant."))] == []


def test_root_is_given_up_in_place_and_nothing_with_it(lab: Any) -> None:
    """A control plane that runs as root: killed, here and on the host, while etcd restarts as a user of its own, the
    same command finishes. What etcd was told before is there.
    """
    as_before(lab, "cp-1")
    kubectl = "kubectl --kubeconfig /etc/kubernetes/admin.conf"
    lab.on("cp-1", f"{kubectl} create configmap kept --from-literal=a=b")
    assert "etcd-identity" in lab.bmk("hardening", code=2)
    process = lab.start("provision", "--yes")
    changed = "grep -c runAsUser /etc/kubernetes/manifests/etcd.yaml; true"
    until(lambda: lab.on("cp-1", changed).strip() == "1", "its manifest is another")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    end_programs(lab, "cp-1")
    lab.bmk("provision", "--yes")
    assert users(lab, "cp-1") == OWN
    assert "b" in lab.on("cp-1", f"{kubectl} get configmap kept -o jsonpath={{.data.a}}")
    assert json.loads(lab.bmk("hardening", "-o", "json"))["counts"]["fail"] == 0
    lab.bmk("verify")


def test_provision_needs_a_terminal_or_yes(lab: Any) -> None:
    """Without a terminal and without --yes a run that would change something is declined at once, never hangs."""
    journal = lab.journal
    journal.forget("worker-1", "ready")
    with subprocess.Popen(
        lab.command("provision"), env=lab.env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 8
    assert "no terminal" in said
