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

# static pod -> the number of its user and its group
PODS = {"etcd": 953, "kube-apiserver": 954, "kube-controller-manager": 955, "kube-scheduler": 956}
API, MANAGER = "kube-apiserver", "kube-controller-manager"
PKI, MANIFESTS = "/etc/kubernetes/pki", "/etc/kubernetes/manifests"
# behind a virtual address the API server keeps to the node's own: loopback has nobody on the port
SERVER = f"https://$(sed -n 's/.*--advertise-address=//p' {MANIFESTS}/kube-apiserver.yaml):6443"
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
    said = host.run(f"curl -sk --max-time {10 * slow} {SERVER}/readyz").stdout
    wrong = [line for line in said.splitlines() if line.startswith("[-]")]
    assert said == "ok", wrong or said or f"no answer in {10 * slow} s"


@joined
def test_strangers_see_nothing(host: Any, slow: int) -> None:
    """Without a certificate the API server answers for its health only."""
    ask = f"curl -sk -o /dev/null -w '%{{http_code}}' --max-time {10 * slow}"
    code = host.check_output(f"{ask} {SERVER}/api")
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
    nothing(wrong + [f"etcd on {at}" for name, at in sorted(seen) if name == "etcd" and at in ("*", "0.0.0.0", "[::]")])  # noqa: S104 - compared, not bound


@joined
def test_static_pods_are_roots_alone(host: Any) -> None:
    """CIS 1.1: four of them, no other, and nobody else may even read them."""
    there = host.check_output(f"ls -A {MANIFESTS}").split()
    assert sorted(there) == [f"{name}.yaml" for name in PODS], there
    tight(host, roots(0o600, *(f"{MANIFESTS}/{name}" for name in there)))


@joined
def test_static_pods_run_as_users_of_their_own(host: Any) -> None:
    """Each of them, as it runs: its own user and group in every place, no other group, no capability to be had."""
    fields = "Uid|Gid|Groups|CapEff|CapBnd"
    ask = f'grep -hE "^({fields}):" /proc/$p/status | tr -s "\t" " " | tr "\n" ";"; echo " $n"'
    said = host.check_output(f"for n in {' '.join(PODS)}; do for p in $(pidof $n); do {ask}; done; done")
    seen = dict(reversed(line.rsplit(" ", 1)) for line in said.splitlines())
    wrong = [f"{name} does not run" for name in PODS if name not in seen]
    for name, text in seen.items():
        known = {key: set(value.split()) for key, _, value in (part.partition(":") for part in text.split(";"))}
        ids = known["Uid"] | known["Gid"] | known["Groups"]
        if ids != {str(PODS[name])} or any(int(mask, 16) for mask in known["CapEff"] | known["CapBnd"]):
            wrong.append(f"{name}: {text}")
    nothing(wrong)


@joined
def test_a_key_is_its_programs_alone(host: Any) -> None:
    """CIS 1.1.21: private keys, and kubeconfigs with one, are read by root and their program; one by two."""
    shared = f"{PKI}/sa.key"
    keys = host.check_output(
        f"find /etc/kubernetes '(' -name '*.key' -o -name '*.conf' ')' -perm /0077 ! -path {shared}"
    )
    assert not keys, f"{' '.join(keys.split())}: others may read"
    own = {
        **_owned(API, 0o600, *(f"{PKI}/{n}.key" for n in ("apiserver", "apiserver-etcd-client", "front-proxy-client"))),
        **_owned(MANAGER, 0o600, f"{PKI}/ca.key", "/etc/kubernetes/controller-manager.conf"),
        **_owned("kube-scheduler", 0o600, "/etc/kubernetes/scheduler.conf"),
        **_owned("etcd", 0o600, f"{PKI}/etcd/server.key", f"{PKI}/etcd/peer.key"),
        **roots(0o600, "/etc/kubernetes/admin.conf", f"{PKI}/etcd/ca.key", f"{PKI}/front-proxy-ca.key"),
    }
    tight(host, {**own, shared: (API, MANAGER, 0o640)})


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
    """The audit log is there, has something in it, and is read by root and the API server only."""
    log = "/var/log/kubernetes/audit/audit.log"
    assert host.run(f"test -s {log}").rc == 0, f"{log} is empty or not there"
    tight(host, _owned(API, 0o600, log))


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
    """Admission, audit policy and encryption are root's for the API server to read; etcd's data is etcd's alone."""
    names = ["admission", "authentication", "audit-policy", *(["encryption"] if record.joined else [])]
    own = {"/etc/kubernetes/bmk": ("root", API, 0o750), **_owned(API, 0o700, "/var/log/kubernetes/audit")}
    own |= dict.fromkeys((f"/etc/kubernetes/bmk/{name}.yaml" for name in names), ("root", API, 0o640))
    tight(host, {**own, **(_owned("etcd", 0o700, "/var/lib/etcd") if record.joined else {})})


def _owned(name: str, mode: int, *paths: str) -> dict[str, tuple[str, str, int]]:
    """For `tight`: paths of a program's user and group."""
    return dict.fromkeys(paths, (name, name, mode))
