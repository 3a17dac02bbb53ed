"""Who becomes which node: tickets, names and renewals at a real API server whose own controllers run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from bmk.hardening.policy import AUTOMATIC
from tests.services.cluster.conftest import CLUSTER, Cluster

pytestmark = pytest.mark.services
PATIENCE = 30.0  # seconds for what should be signed
ROUNDS = 5  # in which nothing should be


def test_kubernetes_would_make_any_node_of_any_ticket(cluster: Cluster) -> None:
    """What kubeadm leaves: a ticket for worker-2 becomes worker-1 by itself. bmk sees that and takes it away."""
    cluster.bind(AUTOMATIC)
    token = cluster.ticket("aaaaaa", "worker-2")
    assert cluster.certificate(cluster.ask("thief-0", "worker-1", token), PATIENCE) is not None
    live = cluster.live()
    assert live.policies() == "stale"
    assert f"ClusterRoleBinding/{AUTOMATIC}" in live.apply_policies()
    assert (live.policies(), live.apply_policies()) == ("current", [])


def test_a_stolen_ticket_with_another_name_gets_nothing(cluster: Cluster) -> None:
    """With bmk's approver a ticket is good for its host: another name is left, and told; its own name is signed."""
    live = cluster.live()
    live.apply_policies()
    token = cluster.ticket("bbbbbb", "worker-2")
    cluster.ask("thief-1", "worker-1", token)
    cluster.ask("honest-1", "worker-2", token)
    answers = {a.request: a for _ in range(ROUNDS) for a in live.approve()}
    assert answers["honest-1"].problem == ""
    assert (answers["thief-1"].host, "asked for worker-2" in answers["thief-1"].problem) == ("worker-2", True)
    certificate = cluster.certificate("honest-1", PATIENCE)
    assert certificate is not None
    names = x509.load_pem_x509_certificate(certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert [n.value for n in names] == ["system:node:worker-2"]
    assert cluster.certificate("thief-1", 2) is None


def test_tokens_that_bmk_did_not_make_are_good_for_nothing(cluster: Cluster) -> None:
    """A token of somebody else, or one for a host that is not in the file, gets no certificate."""
    live = cluster.live()
    live.apply_policies()
    foreign = cluster.ticket("cccccc", "x").removesuffix("x")
    cluster.server.kubectl(
        "-n", "kube-system", "patch", "secret", "bootstrap-token-cccccc", "-p", '{"stringData":{"description":"mine"}}'
    )
    cluster.ask("foreign-1", "worker-1", foreign)
    cluster.ask("stranger-1", "worker-9", cluster.ticket("dddddd", "worker-9"))
    problems = {a.request: a.problem for a in live.approve()}
    assert "no ticket" in problems["foreign-1"]
    assert "no ticket for a host" in problems["stranger-1"]


def test_a_node_renews_its_own_certificate_and_no_other(cluster: Cluster) -> None:
    """Renewals stay Kubernetes' own work: a node gets its own name again, and may not even ask for another's."""
    live = cluster.live()
    live.apply_policies()
    cluster.ask("first-1", "worker-1", cluster.ticket("eeeeee", "worker-1"))
    live.approve()
    pair = cluster.pair("first-1")
    cluster.ask("renewed-1", "worker-1", pair=pair)
    assert cluster.certificate("renewed-1", PATIENCE) is not None
    with pytest.raises(PermissionError, match="can only create a node CSR with CN=system:node:worker-1"):
        cluster.ask("thief-2", "worker-2", pair=pair)


def test_the_command_approves_and_says_what_it_left(cluster: Cluster, tmp_path: Path) -> None:
    """`bmk approve` needs no run of provision: what the file confirms is approved, what it does not is told once."""
    cluster.live().apply_policies()
    environment = _deployer(cluster, tmp_path)
    token = cluster.ticket("ffffff", "worker-2")
    cluster.ask("honest-2", "worker-2", token)
    cluster.ask("thief-3", "cp-1", token)
    argv = [sys.executable, "-m", "bmk", "approve", str(cluster.file)]
    with subprocess.Popen([*argv, "--every", "1"], env=environment, stderr=subprocess.PIPE, text=True) as running:
        assert cluster.certificate("honest-2", PATIENCE) is not None
        cluster.ask("honest-3", "worker-2", token)
        assert cluster.certificate("honest-3", PATIENCE) is not None
        running.terminate()
        said = running.communicate(timeout=60)[1]
    assert running.returncode == 0
    assert said.count("thief-3") == 1


def test_an_api_that_is_away_is_said(cluster: Cluster, tmp_path: Path) -> None:
    """Nobody answers: the command says so with the next step, and its exit code is that of what does not answer."""
    environment = _deployer(cluster, tmp_path)
    kubeconfig = tmp_path / "joins/kubeconfig" / CLUSTER
    kubeconfig.write_text(kubeconfig.read_text().replace(f":{cluster.server.port}", ":9"))
    argv = [sys.executable, "-m", "bmk", "approve", str(cluster.file), "--once"]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, "does not answer" in done.stderr) == (5, True), done.stderr


def _deployer(cluster: Cluster, state: Path) -> dict[str, str]:
    """The environment of a deployer that has the cluster's kubeconfig."""
    kubeconfig = state / "joins/kubeconfig" / CLUSTER
    kubeconfig.parent.mkdir(parents=True)
    kubeconfig.write_bytes(cluster.server.kubeconfig.read_bytes())
    kubeconfig.chmod(0o600)
    return {**os.environ, "BMK_STATE_DIR": str(state)}
