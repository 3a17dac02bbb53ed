"""Control planes: static pods, etcd, keys, certificates, and what the kubelets of the cluster say of themselves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bmk.verify.suites.kinds import (  # noqa: F401 - tests of this suite
    nothing,
    roots,
    test_files,
    test_packages,
    test_units,
    tight,
)
from bmk.verify.suites.record import Record

PODS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
PKI, MANIFESTS = "/etc/kubernetes/pki", "/etc/kubernetes/manifests"
KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout=30s"
MONTH = 30 * 24 * 3600
joined = pytest.mark.usefixtures("member")
# as every kubelet must say of itself when it is asked
LIVE: tuple[tuple[str, Any], ...] = (
    ("authentication.anonymous.enabled", False),
    ("authentication.webhook.enabled", True),
    ("authorization.mode", "Webhook"),
    ("readOnlyPort", None),  # 0 is not said
    ("rotateCertificates", True),
    ("serverTLSBootstrap", True),
    ("seccompDefault", True),
    ("tlsMinVersion", "VersionTLS12"),
    ("podPidsLimit", 4096),
    ("containerRuntimeEndpoint", "unix:///run/containerd/containerd.sock"),
)


@joined
def test_the_api_answers(host: Any, slow: int) -> None:
    """The API server of this very host is ready."""
    said = host.run(f"curl -sk --max-time {10 * slow} https://127.0.0.1:6443/readyz").stdout
    wrong = [line for line in said.splitlines() if line.startswith("[-]")]
    assert said == "ok", wrong or said or f"no answer in {10 * slow} s"


@joined
def test_strangers_see_nothing(host: Any, slow: int) -> None:
    """Without a certificate the API server answers for its health only."""
    ask = f"curl -sk -o /dev/null -w '%{{http_code}}' --max-time {10 * slow}"
    code = host.check_output(f"{ask} https://127.0.0.1:6443/api")
    assert code == "401", code


@joined
def test_etcd_is_healthy_and_asks_who_asks(host: Any, slow: int) -> None:
    """Its member here answers to a certificate, and to nobody without one."""
    keys = f"--cacert={PKI}/etcd/ca.crt --cert={PKI}/etcd/server.crt --key={PKI}/etcd/server.key"
    ask = f"etcdctl --endpoints=https://127.0.0.1:2379 --command-timeout={5 * slow}s {keys}"
    said = host.run(f"{ask} endpoint health 2>&1").stdout
    assert "is healthy" in said, said
    open_ = host.run("curl -sk --max-time 5 -o /dev/null https://127.0.0.1:2379/version")
    assert open_.rc != 0, "etcd answers without a certificate"


@joined
def test_what_need_not_be_seen_is_not(host: Any) -> None:
    """Controller manager and scheduler listen on loopback; etcd on this node's addresses, not on all."""
    lines = [line.split() for line in host.check_output("ss -Hltnp").splitlines()]
    seen = {(line[5].split('"')[1], line[3].rpartition(":")[0]) for line in lines if len(line) > 5}
    local = ("kube-controller", "kube-scheduler")
    wrong = [f"{name} on {at}" for name, at in sorted(seen) if name.startswith(local) and at != "127.0.0.1"]
    nothing(wrong + [f"etcd on {at}" for name, at in sorted(seen) if name == "etcd" and at in ("*", "0.0.0.0", "[::]")])  # noqa: S104


@joined
def test_static_pods_are_roots_alone(host: Any) -> None:
    """CIS 1.1: four of them, no other, and nobody else may even read them."""
    there = host.check_output(f"ls -A {MANIFESTS}").split()
    assert sorted(there) == [f"{name}.yaml" for name in PODS], there
    tight(host, roots(0o600, *(f"{MANIFESTS}/{name}" for name in there)))


@joined
def test_keys_are_roots_alone(host: Any) -> None:
    """CIS 1.1.21: no private key, and no kubeconfig with one, can be read by another user."""
    keys = host.check_output("find /etc/kubernetes '(' -name '*.key' -o -name '*.conf' ')' -perm /0077")
    assert not keys, f"{' '.join(keys.split())}: others may read"


@joined
def test_certificates_hold_for_a_month(host: Any) -> None:
    """None of them ends within 30 days, those inside of kubeconfigs included."""
    check = f"openssl x509 -noout -checkend {MONTH} >/dev/null || echo $f"
    inside = "sed -n 's/.*client-certificate-data: //p' $f | base64 -d"
    files = f"for f in $(find {PKI} -name '*.crt'); do <$f {check}; done; "
    configs = f"for f in $(grep -ls client-certificate-data /etc/kubernetes/*.conf); do {inside} | {{ {check}; }}; done"
    ending = host.check_output(files + configs)
    assert not ending, f"end within 30 days: {ending.split()}"


@joined
def test_what_is_asked_is_written_down(host: Any) -> None:
    """The audit log is there, has something in it, and is root's alone."""
    log = "/var/log/kubernetes/audit/audit.log"
    assert host.run(f"test -s {log}").rc == 0, f"{log} is empty or not there"
    tight(host, roots(0o600, log))


@joined
def test_every_kubelet_is_live_as_configured(host: Any) -> None:
    """Each node's kubelet, asked through the API for what it runs with, not for its file."""
    names = f"{KUBECTL} get nodes -o jsonpath='{{.items[*].metadata.name}}'"
    ask = f'for n in $({names}); do {KUBECTL} get --raw /api/v1/nodes/$n/proxy/configz && echo " $n"; done'
    said = host.run(ask)
    answers = [line.rpartition(" ")[::2] for line in said.stdout.splitlines()]
    assert answers, said.stderr or "no node"
    assert said.rc == 0, said.stderr
    nothing([f"{name}: {wrong}" for text, name in answers for wrong in _live(json.loads(text)["kubeletconfig"])])


def _live(config: dict[str, Any]) -> list[str]:
    wrong = []
    for path, wanted in LIVE:
        value: Any = config
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value != wanted:
            wrong.append(f"{path} is {value}, not {wanted}")
    return wrong


def test_its_files_are_tight(host: Any, record: Record) -> None:
    """Admission, audit and encryption are root's alone; so is what etcd holds."""
    directories = ["/etc/kubernetes/bmk", "/var/log/kubernetes/audit", *(["/var/lib/etcd"] if record.joined else [])]
    names = ["admission", "authentication", "audit-policy", *(["encryption"] if record.joined else [])]
    tight(host, {**roots(0o700, *directories), **roots(0o600, *(f"/etc/kubernetes/bmk/{n}.yaml" for n in names))})
