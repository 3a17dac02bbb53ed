"""A real cluster by the playbooks: bare hosts to three control planes and a worker. Each test builds on the last."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from bmk.hardening.policy import AUTOMATIC
from tests.containers.cluster.conftest import Hall
from tests.tickets import client_request

pytestmark = pytest.mark.containers
HOSTS = ("cp-1", "cp-2", "cp-3", "worker-1")
FRESH, AGAIN = 25, 10  # module calls that a worker may cost


@pytest.fixture(scope="module")
def calls() -> dict[str, int]:
    """Module calls of the worker so far: {"fresh": n}."""
    return {}


def test_check_mode_on_a_bare_host_changes_nothing(hall: Hall) -> None:
    """--check --diff before the first converge says what would be done, fails nowhere and leaves the host as it was."""
    result = hall.converge("configure.yml", "worker-1", check=True)["results"]["worker-1"]
    assert result["ok"], result["message"]
    assert result["changed"] > 8
    assert any(d["item"] == "/etc/containerd/config.toml" and "version = 4" in d["after"] for d in result["diffs"])
    assert hall.ssh("worker-1", "ls /etc/bmk /etc/containerd /usr/local/bin/kubelet 2>/dev/null", check=False) == ""


def test_a_fresh_converge(hall: Hall, calls: dict[str, int]) -> None:
    """All hosts at once; each carries afterwards the digest that plan computes without asking it."""
    done = hall.converge("configure.yml", *HOSTS)
    for host in HOSTS:
        result = done["results"][host]
        assert result["ok"], f"{host}: {result['failed_task']}: {result['message']}"
        assert result["manifest"] == done["wanted"][host]
        manifest = json.loads(hall.ssh(host, "cat /etc/bmk/manifest.json"))
        assert (manifest["host"], manifest["digest"]) == (host, result["manifest"])
    calls["fresh"] = done["results"]["worker-1"]["calls"]


def test_the_kubelet_waits_for_kubeadm(hall: Hall) -> None:
    """Before init or join no kubelet runs in a restart loop."""
    assert hall.ssh("worker-1", "systemctl is-enabled kubelet; systemctl is-active kubelet", check=False).split() == [
        "enabled",
        "inactive",
    ]


def test_the_first_control_plane(hall: Hall) -> None:
    """Whoever is asked first makes the cluster; the administrator's kubeconfig comes back, for the owner only."""
    result = hall.drive("begin", {"host": "cp-2"})
    assert result["ok"], result["message"]
    assert hall.kubeconfig.stat().st_mode & 0o077 == 0


def test_a_killed_join_is_finished_by_the_next_run(hall: Hall) -> None:
    """kill -9 of bmk while kubeadm joins: the same command waits for it or starts clean, and the node joins once."""
    asked = {"playbook": "join.yml", "hosts": ["worker-1"], "variables": {"bmk_via": "cp-2"}}
    first = hall.command("converge", asked)
    _until(lambda: "kubeadm join" in hall.ssh("worker-1", "ps -eo args", check=False) or first.poll() is not None)
    first.kill()
    first.wait()
    result = hall.drive("converge", asked)["results"]["worker-1"]
    assert result["ok"], result["message"]
    assert json.loads(hall.ssh("worker-1", "cat /etc/bmk/kubeadm.json"))["state"] == "joined"
    assert hall.kubectl("get", "nodes", "-o", "name", on="cp-2").split() == ["node/cp-2", "node/worker-1"]


def test_a_fresh_worker_stays_within_its_budget(hall: Hall, calls: dict[str, int]) -> None:
    """A worker costs at most 25 calls from bare to joined; a control plane's join is counted, which costs no less."""
    result = hall.converge("join.yml", "cp-1", bmk_via="cp-2")["results"]["cp-1"]
    assert result["ok"], result["message"]
    assert calls["fresh"] + result["calls"] <= FRESH


def test_one_control_plane_vouches_for_the_next(hall: Hall) -> None:
    """No control plane is special: the third joins through the one that joined second."""
    result = hall.converge("join.yml", "cp-3", bmk_via="cp-1")["results"]["cp-3"]
    assert result["ok"], result["message"]


def test_a_second_run_changes_nothing_and_costs_little(hall: Hall) -> None:
    """Everything again on all hosts: no change, at most ten module calls a host, joins included."""
    for check in (False, True):
        configured = hall.converge("configure.yml", *HOSTS, check=check)["results"]
        joined = hall.converge("join.yml", *HOSTS, check=check, bmk_via="cp-1")["results"]
        for host in HOSTS:
            assert configured[host]["ok"]
            assert joined[host]["ok"]
            assert configured[host]["changed"] + joined[host]["changed"] == 0, configured[host]["diffs"]
            assert configured[host]["calls"] + joined[host]["calls"] <= AGAIN


def test_drift_is_repaired_and_nothing_else_is_touched(hall: Hall) -> None:
    """A file, a setting and a binary that somebody changed: check mode names them, the next run puts them right."""
    before = hall.ssh("worker-1", "systemctl show -P ActiveEnterTimestampMonotonic bird containerd")
    hall.ssh(
        "worker-1",
        "echo x >> /etc/cni/net.d/10-bmk.conflist; sysctl -qw net.ipv4.conf.all.accept_redirects=1; "
        "echo x >> /usr/local/bin/kubectl; chmod 0666 /etc/containerd/config.toml",
    )
    seen = hall.converge("configure.yml", "worker-1", check=True)["results"]["worker-1"]
    wrong = {d["item"] for d in seen["diffs"]}
    assert wrong == {
        "/etc/cni/net.d/10-bmk.conflist",
        "net.ipv4.conf.all.accept_redirects",
        "/usr/local/bin/kubectl",
        "/etc/containerd/config.toml",
    }
    assert hall.converge("configure.yml", "worker-1")["results"]["worker-1"]["changed"] > 0
    assert hall.converge("configure.yml", "worker-1")["results"]["worker-1"]["changed"] == 0
    assert hall.ssh("worker-1", "systemctl show -P ActiveEnterTimestampMonotonic bird containerd") == before


def test_a_repair_restarts_what_it_made_stale(hall: Hall) -> None:
    """A daemon whose configuration had to be put right reads it again in the same run, and only then."""
    before = hall.ssh("worker-1", "systemctl show -P ActiveEnterTimestampMonotonic containerd")
    hall.ssh("worker-1", "echo '# x' >> /etc/containerd/config.toml")
    first = hall.converge("configure.yml", "worker-1")["results"]["worker-1"]
    assert {d["item"] for d in first["diffs"]} == {"/etc/containerd/config.toml", "containerd.service"}
    after = hall.ssh("worker-1", "systemctl show -P ActiveEnterTimestampMonotonic containerd")
    assert int(after) > int(before)
    assert hall.converge("configure.yml", "worker-1")["results"]["worker-1"]["changed"] == 0


def test_the_cluster_works(hall: Hall) -> None:
    """Nodes Ready, certificates approved, names, pods across nodes, services, and a pod's identity."""
    proof = hall.drive("smoke")
    assert proof["live"] == ["cp-1", "cp-2", "cp-3"]
    bad = [row for row in proof["rows"] if not row["ok"]]
    assert not bad
    assert {r["host"] for r in proof["rows"] if r["name"] == "node Ready"} == set(HOSTS)
    assert any(r["detail"] == "uid=1000 gid=3000 groups=3000,4000" for r in proof["rows"])
    assert "bmk-smoke" not in hall.kubectl("get", "namespaces", "-o", "name")


def test_a_stolen_ticket_makes_no_other_node(hall: Hall) -> None:
    """With kubeadm's own binding gone, a ticket for a host that has not joined becomes no control plane, and nobody's
    second identity either: Kubernetes approves nothing, and bmk says why it does not.
    """
    assert AUTOMATIC not in hall.kubectl("get", "clusterrolebindings", "-o", "name")
    asks = {"thief-1": ("worker-9", "cp-1"), "thief-2": ("cp-1", "cp-1"), "thief-3": ("worker-1", "cp-1")}
    for name, (ticket, node) in asks.items():
        request = base64.b64encode(client_request(node)[1]).decode()
        hall.ssh("worker-1", _ASK.format(name=name, request=request, token=_ticket(hall, ticket)))
    said = hall.bmk("approve", str(hall.file), "--once")
    assert all(f"did not approve {name} " in said for name in asks)
    _until(lambda: "thief" in hall.kubectl("get", "csr"))
    assert hall.kubectl("get", "csr", *asks, "-o", "jsonpath='{.items[*].status}'").strip("'{} ") == ""


def _ticket(hall: Hall, host: str) -> str:
    create = "kubeadm token create --kubeconfig /etc/kubernetes/admin.conf --ttl 5m --description"
    return hall.ssh("cp-1", f"{create} 'bmk: {host}'").strip()


_ASK = """
set -e
kubectl --server https://10.67.0.10:6443 --certificate-authority /etc/kubernetes/pki/ca.crt --token {token} \
  create -f - <<END
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {{name: {name}}}
spec:
  signerName: kubernetes.io/kube-apiserver-client-kubelet
  usages: [digital signature, client auth]
  request: {request}
END
"""


def test_the_runtime_is_hardened(hall: Hall) -> None:
    """Sockets of a group without members, nothing listens, no plug-in may connect: as containerd itself says."""
    sockets = hall.ssh(
        "worker-1", "stat -c '%a %u %g' /run/containerd/containerd.sock /run/containerd/containerd.sock.ttrpc"
    )
    assert sockets.split("\n")[:2] == ["660 0 952", "660 0 952"]
    assert hall.ssh("worker-1", "getent group bmk-cri").strip() == "bmk-cri:x:952:"
    listeners = hall.ssh("worker-1", "ss -Hltnp | grep containerd || true")
    assert all("127.0.0.1:" in line for line in listeners.splitlines())
    dump = hall.ssh("worker-1", "containerd config dump")
    for setting in ("enable_criu = false", "disable_connections = true", "reject_oci_hook_adjustment = true"):
        assert setting in dump
    assert "gid = 952" in dump
    assert "/var/run/nri" not in hall.ssh("worker-1", "ss -Hlx | grep nri || true")
    modes = hall.ssh("worker-1", "stat -c '%a %n' /var/lib/containerd /run/containerd /etc/containerd/config.toml")
    assert [line.split()[0] for line in modes.splitlines()] == ["700", "711", "640"]


def test_the_runtimes_socket_is_nobodys(hall: Hall) -> None:
    """An ordinary user is refused at the socket."""
    said = hall.ssh(
        "worker-1",
        "setpriv --reuid 65534 --regid 65534 --clear-groups ctr --address /run/containerd/containerd.sock version 2>&1",
        check=False,
    )
    assert "permission denied" in said


def test_files_of_the_node_are_tight(hall: Hall) -> None:
    """CIS 1.1 and 4.1: what holds keys or decides is root's and for root only."""
    paths = "/etc/kubernetes/kubelet.conf /etc/kubernetes/admin.conf /etc/kubernetes/manifests/*.yaml "
    paths += "/var/lib/kubelet/config.yaml /etc/cni/net.d/10-bmk.conflist /etc/systemd/system/kubelet.service"
    for line in hall.ssh("cp-1", f"stat -c '%a %U:%G %n' {paths}").splitlines():
        mode, owner, path = line.split()
        assert (mode, owner) == ("600", "root:root"), path


def test_a_pod_has_few_capabilities_and_seccomp(hall: Hall) -> None:
    """A pod that says nothing: no raw sockets, no device nodes, seccomp on, limited open files."""
    script = "grep -E 'CapBnd|Seccomp:' /proc/1/status; ulimit -Hn; sleep 600"
    container = {"name": "p", "image": "10.67.0.1:5000/smoke:1", "command": ["/bin/sh", "-c", script]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    pod = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec})
    hall.kubectl(f"apply -f - <<'END'\n{pod}\nEND\n")
    logs = "kubectl --kubeconfig /etc/kubernetes/admin.conf logs p"
    _until(lambda: len(hall.ssh("cp-1", logs, check=False).split()) >= 5)
    said = hall.kubectl("logs", "p").split()
    hall.kubectl("delete", "pod", "p", "--now")
    capabilities = int(said[said.index("CapBnd:") + 1], 16)
    for number in (13, 27, 29):  # CAP_NET_RAW, CAP_MKNOD, CAP_AUDIT_WRITE
        assert not capabilities >> number & 1
    assert said[said.index("Seccomp:") + 1] == "2"
    assert int(said[-1]) <= 524288


def test_an_image_from_elsewhere_comes_from_the_mirror_or_not_at_all(hall: Hall) -> None:
    """Nodes never talk to the internet: an image of another registry is asked of the mirror, which has none."""
    said = hall.ssh("worker-1", "cat /etc/containerd/certs.d/_default/hosts.toml")
    assert "10.67.0.1:5000" in said
    assert not re.search(r"docker\.io|registry\.k8s\.io", hall.ssh("worker-1", "grep -rh . /etc/containerd"))


KEY = "/etc/kubernetes/bmk/encryption.yaml"


def test_a_lost_key_of_secrets_comes_back_from_another_control_plane(hall: Hall) -> None:
    """Its file is gone on one: check mode says so, the next converge brings it. etcd is not rewritten, secrets are read
    by an API server that began with it, and the key is in nothing that Ansible said.
    """
    hall.kubectl("create secret generic kept --from-literal=k=canary")
    before, stored = hall.ssh("cp-3", f"cat {KEY}"), _stored(hall)
    pid = hall.ssh("cp-3", f"rm {KEY}; pidof kube-apiserver")
    asked = {"playbook": "configure.yml", "hosts": ["cp-3"], "variables": {"bmk_distrust": ["cp-3"]}}
    seen = hall.drive("converge", {**asked, "check": True})["results"]["cp-3"]
    assert KEY in {d["item"] for d in seen["diffs"]}
    assert hall.ssh("cp-3", f"ls {KEY} 2>/dev/null", check=False) == ""
    done = hall.drive("converge", asked)
    assert done["results"]["cp-3"]["ok"], done["results"]["cp-3"]["message"]
    assert hall.ssh("cp-3", f"stat -c '%a %U:%G' {KEY}; cat {KEY}") == f"640 root:kube-apiserver\n{before}"
    assert hall.ssh("cp-3", "pidof kube-apiserver") != pid
    itself = "--server https://10.67.0.13:6443"
    assert hall.kubectl(itself, "get secret kept -o jsonpath={.data.k}", on="cp-3") == "Y2FuYXJ5"
    assert _stored(hall) == stored
    assert _secret_of(before) not in json.dumps(done)


def test_no_ticket_is_left_anywhere(hall: Hall) -> None:
    """Tokens, certificate keys, the key of secrets: not in events, run directories or logs; revoked in the cluster."""
    token = re.compile(r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b")
    key = _secret_of(hall.ssh("cp-1", f"cat {KEY}"))
    for path in (hall.state / "roles/runs").rglob("*"):
        if path.is_file():
            text = path.read_text(errors="replace")
            assert not token.search(text), path
            assert key not in text, path
    for host in HOSTS:
        text = hall.ssh(host, "cat /var/log/bmk/* /etc/bmk/*; ls /run/bmk-kubeadm-* 2>/dev/null", check=False)
        assert not token.search(text)
        assert key not in text
    secrets = hall.kubectl("-n kube-system get secrets -o name")
    assert "kubeadm-certs" not in secrets
    known = 2 + 3  # of the join that was killed (minutes), kubeadm's own of init (one minute), those that were stolen
    assert secrets.count("bootstrap-token") <= known


def test_the_vip_moves_to_a_live_control_plane(hall: Hall) -> None:
    """The carrier's balancer dies: another control plane carries the address and the API goes on."""
    carrier = next(h for h in HOSTS[:3] if "10.67.0.10/32" in hall.ssh(h, "ip -4 address"))
    hall.ssh(carrier, "systemctl stop haproxy")
    other = next(h for h in HOSTS[:3] if h != carrier)
    _until(lambda: "10.67.0.10/32" not in hall.ssh(carrier, "ip -4 address"))
    _until(lambda: hall.ssh(other, "curl -sk --max-time 3 https://10.67.0.10:6443/readyz", check=False) == "ok")
    hall.converge("configure.yml", carrier)
    assert hall.ssh(carrier, "systemctl is-active haproxy").strip() == "active"


def _stored(hall: Hall) -> Any:
    """What etcd holds of the secret, revisions included."""
    pki = "/etc/kubernetes/pki/etcd"
    tls = f"--cacert {pki}/ca.crt --cert {pki}/server.crt --key {pki}/server.key --endpoints https://127.0.0.1:2379"
    return json.loads(hall.ssh("cp-3", f"etcdctl {tls} get /registry/secrets/default/kept -w json"))["kvs"]


def _secret_of(encryption: str) -> str:
    """The key itself."""
    secret: str = json.loads(encryption)["resources"][0]["providers"][0]["secretbox"]["keys"][0]["secret"]
    return secret


def _until(true: Callable[[], Any], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.3)
