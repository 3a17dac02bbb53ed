"""The kubeconfig that is fetched from a control plane is written by bmk."""

from __future__ import annotations

import pytest

from bmk.cluster.kubeconfig import credentials, kubeconfig
from tests.admin_conf import OTHER, admin_conf, pem
from tests.services.drift.conftest import Office
from tests.services.drift.hall import address

pytestmark = pytest.mark.services


def test_a_host_gives_credentials_and_nothing_else(office: Office) -> None:
    """Its command, its server and a key of another certificate do not reach the deployer."""
    conf = office.root(1) / "etc/kubernetes/admin.conf"
    conf.write_text(admin_conf(exec={"command": "/bin/sh", "args": ["-c", "id"]}))
    assert office.drive("kubeconfig", host="n1") == kubeconfig("c", (address(1), 6443), credentials(admin_conf()))
    conf.write_text(admin_conf(key=pem(OTHER)))
    assert office.drive("kubeconfig", host="n1") == "the host's kubeconfig is not one that kubeadm writes"
