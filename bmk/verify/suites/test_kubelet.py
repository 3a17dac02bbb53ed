"""The kubelet: runs, knows who asks, serves nothing to strangers. Before its host joins, it waits."""

from __future__ import annotations

from typing import Any

import pytest

from bmk.verify.suites.kinds import (  # noqa: F401 - tests of this suite
    nothing,
    roots,
    test_downloads,
    test_files,
    test_units,
    test_users,
    tight,
)
from bmk.verify.suites.record import Record

PKI = "/var/lib/kubelet/pki"
PAIR = f"{PKI}/kubelet-client-current.pem {PKI}/kubelet-server-current.pem"
MONTH = 30 * 24 * 3600
CONFIG = ("rotateCertificates: true", "seccompDefault: true", "serverTLSBootstrap: true", "readOnlyPort: 0")


def test_it_waits_for_kubeadm(host: Any, record: Record) -> None:
    """On a host that did not join no kubelet runs in a restart loop."""
    if record.joined:
        pytest.skip("it joined")
    seen = host.check_output("systemctl show -p ActiveState -p NRestarts kubelet").split()
    assert set(seen) == {"ActiveState=inactive", "NRestarts=0"}, " ".join(seen)


def test_programs_are_of_one_version(host: Any) -> None:
    """kubeadm, kubelet and kubectl that differ are an upgrade that stopped half way."""
    said = host.check_output("kubeadm version -o short; kubelet --version; kubectl version --client")
    versions = {word for word in said.split() if word.startswith("v1.")}
    assert len(versions) == 1, f"versions: {', '.join(sorted(versions))}"


@pytest.mark.usefixtures("member")
def test_it_is_healthy(host: Any) -> None:
    """The unit runs and is healthy by its own word."""
    said = host.run("systemctl is-active kubelet; curl -s --max-time 10 http://127.0.0.1:10248/healthz").stdout
    assert said.split() == ["active", "ok"], said


@pytest.mark.usefixtures("member")
def test_strangers_are_refused(host: Any) -> None:
    """Without a certificate: 401 on its API, and no read-only port."""
    ask = "curl -sk -o /dev/null -w '%{http_code}' --max-time 10 https://127.0.0.1:10250/pods"
    assert host.check_output(f"{ask}; ss -Hltn 'sport = :10255'") == "401"


@pytest.mark.usefixtures("member")
def test_its_configuration_is_the_hardened_one(host: Any) -> None:
    """What it was started with: certificates that rotate, seccomp by default, no port without authentication."""
    lines = [line.strip() for line in host.check_output("cat /var/lib/kubelet/config.yaml").splitlines()]
    nothing([f"not in config.yaml: {line}" for line in CONFIG if line not in lines and not line.endswith(": 0")])
    assert "enabled: false" in lines[lines.index("anonymous:") + 1], "anonymous requests are let in"
    assert not any(line.startswith("readOnlyPort:") and line != CONFIG[-1] for line in lines), "a read-only port"


@pytest.mark.usefixtures("member")
def test_certificates_hold_for_a_month(host: Any) -> None:
    """Neither its client nor its serving certificate ends within 30 days: it renews them earlier."""
    check = f"openssl x509 -noout -checkend {MONTH} -in $f >/dev/null || echo $f"
    ending = host.check_output(f"for f in {PAIR}; do {check}; done")
    assert not ending, f"end within 30 days, or are not there: {ending.split()}"


@pytest.mark.usefixtures("member")
def test_certificates_are_of_the_cluster(host: Any) -> None:
    """Both are signed by the cluster's authority; the client's is this node's and no other's."""
    said = host.run(f"for f in {PAIR}; do openssl verify -CAfile /etc/kubernetes/pki/ca.crt $f 2>&1; done").stdout
    assert said.count(": OK") == 2, said
    names = host.check_output(f"openssl x509 -noout -subject -in {PKI}/kubelet-client-current.pem; uname -n").split()
    assert names[-2].endswith(f"system:node:{names[-1]}"), f"{names[-1]} has the certificate of {names[-2]}"


def test_its_files_are_tight(host: Any, record: Record) -> None:
    """CIS 4.1: what decides, or holds keys, is read by root only."""
    files = ["/etc/systemd/system/kubelet.service"]
    if record.joined:
        files += ["/etc/kubernetes/kubelet.conf", "/var/lib/kubelet/config.yaml"]
    directories = roots(0o700, "/var/lib/kubelet", "/etc/kubernetes/manifests", "/etc/kubernetes/patches")
    tight(host, {**roots(0o600, *files), **directories, **roots(0o755, "/etc/kubernetes")})
