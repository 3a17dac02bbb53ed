"""Three control planes that run as root are changed in place, one by one: killed anywhere, nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bmk.artifacts.mirror import load_mirror
from tests.containers.rooted import OWN, as_before, end_programs, until, users
from tests.lab import Lab, running

pytestmark = pytest.mark.containers
CONTROL = ("cp-1", "cp-2", "cp-3")
REFRESH = "Put right what kubeadm wrote, one control plane at a time"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running("lab-ha", "lab-ha", tmp_path_factory.mktemp("rootless"), own_cache=True) as lab:
        lab.bmk("provision", "--yes")
        yield lab


class Writer(threading.Thread):
    """Makes config maps through the virtual address, and remembers those that were acknowledged."""

    def __init__(self, lab: Lab, kubeconfig: Path) -> None:
        super().__init__(daemon=True)
        kubectl = load_mirror().file("kubectl").local
        self._ask = lab.entered(str(kubectl), "--kubeconfig", str(kubeconfig), "--request-timeout=10s")
        self.acknowledged: list[str] = []
        self.over = threading.Event()

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self._ask, *words], capture_output=True, text=True, check=False)

    def run(self) -> None:
        number = 0
        while not self.over.wait(0.3):
            number += 1
            if self.ask("create", "configmap", f"kept-{number}", "--from-literal=a=b").returncode == 0:
                self.acknowledged.append(f"kept-{number}")


def killed_after(lab: Lab, host: str, task: str) -> None:
    """Provision until Ansible has said this of that host, then kill -9."""
    seq, process = lab.journal.last_seq(), lab.start("provision", "--yes")

    def said() -> bool:
        assert process.poll() is None, (lab.state / "run.log").read_text()[-3000:]
        return any(e.host == host and e.kind == "task.changed" and task in e.text for e in lab.journal.since(seq))

    until(said, f"{task} on {host}", 600)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def test_a_cluster_of_root_is_changed_in_place_whatever_is_killed(lab: Lab, tmp_path: Path) -> None:
    """Killed before the first member, between two, and as a program on a host: the same command finishes, every write
    that was acknowledged meanwhile is there, and no control fails.
    """
    for host in CONTROL:
        as_before(lab, host)
    assert "etcd-identity" in lab.bmk("hardening", code=2)
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(lab.bmk("kubeconfig"))
    writer = Writer(lab, kubeconfig)
    writer.start()
    killed_after(lab, "cp-1", REFRESH)
    # what a killed bmk left running on the next host dies as well, wherever it was
    end_programs(lab, "cp-2")
    lab.bmk("provision", "--yes")
    until(lambda: len(writer.acknowledged) > 10, "writes are acknowledged")
    writer.over.set()
    writer.join()
    kept = json.loads(writer.ask("get", "configmap", "-o", "json").stdout)["items"]
    assert set(writer.acknowledged) <= {item["metadata"]["name"] for item in kept}
    assert [users(lab, host) for host in CONTROL] == [OWN] * 3
    assert json.loads(lab.bmk("hardening", "-o", "json"))["counts"]["fail"] == 0


def test_a_member_stays_while_another_is_down(lab: Lab) -> None:
    """One member of three is down: the others are not stopped, the error says why, and the ill one is mended."""
    as_before(lab, "cp-1")
    lab.on("cp-3", "mv /etc/kubernetes/manifests/etcd.yaml /run/ && while pidof etcd; do sleep 0.2; done")
    lab.bmk("drift", code=None)
    lab.bmk("provision", "--yes", code=4)
    assert "etcd of this host stays as it is" in lab.bmk("why", "cp-1", code=None)
    assert users(lab, "cp-1")[0] == "0", "it was stopped"
    assert users(lab, "cp-3")[0] == "953"
    lab.bmk("hardening", code=None)
    lab.bmk("provision", "--yes")
    assert users(lab, "cp-1")[0] == "953"


def test_nothing_of_it_is_an_exception(lab: Lab) -> None:
    """lab-ha has no exception: the sixteen of before were static pods and namespaces. Nothing drifted, suites pass."""
    lab.bmk("drift")
    lab.bmk("verify")
    until(lambda: not json.loads(lab.bmk("hardening", "-o", "json"))["exceptions"], "mirror pods are renewed")
