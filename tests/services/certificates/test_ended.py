"""A control plane whose certificates have ended, and the deployer's kubeconfig with them: nobody answers bmk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.aged import aged
from tests.services.certificates.conftest import ControlPlane, Racks, until

pytestmark = pytest.mark.services


def test_what_has_ended_comes_back(racks: Racks, plane: ControlPlane) -> None:
    """Planned, renewed without asking anybody who could not answer, started again, and the kubeconfig opens the API."""
    plane.age(timedelta(hours=-1))
    pki, now = racks.root(1) / "etc/kubernetes/pki", datetime.now(UTC)
    kubeconfig, authority, key = (
        racks.state / "kubeconfig/c",
        (pki / "ca.crt").read_text(),
        (pki / "ca.key").read_text(),
    )
    text = aged(kubeconfig.read_text(), authority, key, now - timedelta(days=365), now - timedelta(hours=1))
    kubeconfig.write_text(text)
    racks.sh("kill $(pidof etcd kube-apiserver kube-controller-manager kube-scheduler)")
    until(lambda: racks.seen()["n1", "apiserver"]["state"] == "expired", "the API server shows another certificate")
    dc = str(racks.at / "dc.yml")
    plan = racks.bmk("certs", "renew", dc, "--plan")
    assert plan.returncode == 2, plan.stdout + plan.stderr
    assert "they have ended" in plan.stdout
    done = racks.bmk("certs", "renew", dc, "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert plane.kubectl("get", "--raw", "/readyz") == "ok"
    again = racks.bmk("certs", "renew", dc, "--plan")
    assert again.returncode == 0, again.stdout + again.stderr
    assert racks.seen()["c", "kubeconfig"]["state"] == "ok"
