"""Machines that are born again, as nodes of a real cluster: nothing of their past is put back, and drift is empty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bmk.drift import history
from bmk.journal.installation import installation
from tests.lab import Lab, ready, running

pytestmark = pytest.mark.containers
FILE = Path(__file__).resolve().parents[1] / "drift" / "dc.yml"
CLEAN = {"cp-1": "clean", "worker-1": "clean", "drift": "clean"}
# what drift finds and a converge would put back: a manifest of no one, a setting, a key that lets somebody in
PAST = (
    "mkdir -p /etc/kubernetes/manifests; echo x > /etc/kubernetes/manifests/rogue.yaml; "
    "sysctl -qw net.ipv4.conf.all.accept_redirects=1; chmod 0666 /etc/containerd/config.toml; "
    "echo 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGbZT2mZ3v5y7k5Xy7mTqk5m2mX7o8a4V0b6Q0Tn3k2a stranger' "
    ">> /root/.ssh/authorized_keys"
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running("drift", str(FILE), tmp_path_factory.mktemp("rebirth"), own_cache=True) as lab:
        lab.bmk("lab up")
        lab.bmk("provision", "--yes")
        yield lab


def states(lab: Lab) -> dict[str, str]:
    return {name: s["state"] for name, s in lab.drift(None).items()}


def test_a_worker_that_is_installed_again_has_no_drift(lab: Lab) -> None:
    """What drift had found is neither put back nor found: the node joins again, and runs what is asked of it."""
    assert states(lab) == CLEAN
    lab.on("worker-1", PAST)
    assert states(lab)["worker-1"] != "clean"
    before = installation(lab.journal, "worker-1")
    lab.bmk("reinstall", "worker-1", "--yes")
    assert installation(lab.journal, "worker-1") != before
    assert ready(lab.nodes()["worker-1"])
    assert states(lab) == CLEAN
    lab.bmk("plan")


def test_a_lab_that_is_made_again_has_no_past(lab: Lab) -> None:
    """The same names on new machines, after drift of both was found: `kubeadm init` finds nothing of it."""
    for host in ("cp-1", "worker-1"):
        lab.on(host, PAST)
    assert "clean" not in [state for name, state in states(lab).items() if name != "drift"]
    lab.bmk("lab down", "--delete")
    assert history.outstanding(lab.journal) == {}
    lab.bmk("provision", "--yes")
    assert states(lab) == CLEAN
    lab.bmk("plan")
