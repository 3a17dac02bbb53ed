"""`bmk certs` and `bmk certs renew` as they are typed, against etcd, API server and kubeadm that are real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bmk.journal import Journal
from bmk.journal.records import CertificatesRecord
from tests.services.certificates.conftest import ControlPlane, Racks

pytestmark = pytest.mark.services
KUBEADM = {
    *("apiserver", "apiserver-kubelet-client", "apiserver-etcd-client", "front-proxy-client", "admin.conf"),
    *("controller-manager.conf", "scheduler.conf", "super-admin.conf"),
    *("etcd-server", "etcd-peer", "etcd-healthcheck-client"),
}


def states(racks: Racks) -> dict[str, str]:
    """Of what kubeadm made on n1."""
    return {kind: part["state"] for (where, kind), part in racks.seen().items() if where == "n1" and kind in KUBEADM}


def settled(racks: Racks) -> dict[str, str]:
    """The same, once nothing is unknown: a program may be on its way up."""
    end = time.monotonic() + 60
    while "unknown" in (found := states(racks)).values() and time.monotonic() < end:
        time.sleep(0.5)
    return found


def test_all_is_seen_in_files_and_on_ports(racks: Racks, plane: ControlPlane) -> None:
    """What is dialled is the certificate of the file; nothing but certificates left the host; status remembers."""
    seen = racks.seen()
    assert {kind for where, kind in seen if where == "n1"} >= {*KUBEADM, "ca", "etcd-ca", "front-proxy-ca"}
    for kind in ("apiserver", "etcd-server", "etcd-peer"):
        assert seen["n1", kind]["served"] == seen["n1", kind]["file"]
    assert seen["n1", "ca"]["state"] == "ok"
    assert seen["c", "kubeconfig"]["file"]["subject"] == "CN=kubernetes-admin,O=kubeadm:cluster-admins"
    assert (seen["n1", "bmc"]["state"], seen["n1", "kubelet-server"]["state"]) == ("unknown", "unknown")
    assert ("n2", "bmc") not in seen
    done = racks.certs()
    assert done.returncode == 4, done.stderr
    assert "PRIVATE" not in done.stdout + racks.certs("-o", "json").stdout
    record = CertificatesRecord.load(Journal.open(racks.state), "pki")
    assert record is not None
    assert record.soonest[0][2] < time.time() + 3 * 3600


def test_what_is_renewed_and_not_read_is_told(racks: Racks, plane: ControlPlane) -> None:
    """kubeadm by hand: the scheduler has run since before; a key of another certificate is told as well."""
    assert states(racks)["scheduler.conf"] == "due"
    racks.sh("kubeadm certs renew scheduler.conf")
    assert settled(racks)["scheduler.conf"] == "stale"
    racks.sh("cd /etc/kubernetes/pki; cp front-proxy-client.key /opt/key; cp apiserver.key front-proxy-client.key")
    assert states(racks)["front-proxy-client"] == "broken"
    racks.sh("mv /opt/key /etc/kubernetes/pki/front-proxy-client.key")


@contextmanager
def killing(racks: Racks, seconds: float) -> Iterator[None]:
    """A run of the command that is killed after so long."""
    argv = [sys.executable, "-m", "bmk", "certs", "renew", str(racks.at / "dc.yml"), "--yes"]
    process = subprocess.Popen(argv, env=racks.env, stdout=-3, stderr=-3)
    timer = threading.Timer(seconds, lambda: os.kill(process.pid, signal.SIGKILL))
    timer.start()
    process.wait(120)
    timer.cancel()
    yield


def test_all_is_renewed_in_its_order_killed_or_not_and_then_nothing_is_left(racks: Racks, plane: ControlPlane) -> None:
    """Planned (2), killed twice, continued (0), and the plan is empty; owners of keys are what they were."""
    dc = str(racks.at / "dc.yml")
    before = {name: racks.sh(f"stat -c %Y /opt/{name}.began") for name in ("etcd", "kube-apiserver")}
    racks.sh("chown 953:953 /etc/kubernetes/pki/etcd/server.key")
    plan = racks.bmk("certs", "renew", dc, "--plan")
    assert plan.returncode == 2, plan.stdout + plan.stderr
    for words in ("renew apiserver", "start etcd again", "renew the deployer's kubeconfig"):
        assert words in plan.stdout
    for seconds in (4.0, 9.0):
        with killing(racks, seconds):
            pass
    done = racks.bmk("certs", "renew", dc, "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(settled(racks).values()) == {"ok"}
    assert racks.seen()["c", "kubeconfig"]["state"] == "ok"
    assert racks.sh("stat -c %u /etc/kubernetes/pki/etcd/server.key") == "953\n"
    for name, began in before.items():
        assert racks.sh(f"stat -c %Y /opt/{name}.began") > began
    again = racks.bmk("certs", "renew", dc, "--plan")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "no changes" in again.stdout
