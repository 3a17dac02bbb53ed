"""Two hosts that are an sshd each, in a network of the test; one can be made a control plane of real programs.

Hosts have mounts and processes of their own: nothing here can see, or end, a program of another test.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bmk.certificates.kinds import BY_NAME, KINDS
from bmk.document import parse_document
from bmk.journal import Journal
from bmk.journal.records import MembershipRecord
from tests import network
from tests.aged import aged
from tests.services.drift import hall
from tests.services.hardening.conftest import program

FILE = """\
apiVersion: bmk.dev/v1
kind: DataCenter
metadata: {name: pki}
spec:
  deployer: {address: 10.77.200.1}
  networks:
    nodes: {cidr: 10.77.0.0/16, dns: [10.77.200.1]}
    bmc: {cidr: 10.78.0.0/16}
  profiles:
    bare: {bmc: {kind: redfish, secret: bmc/x}, disk: {serial: X}}
    old: {bmc: {kind: ipmi, secret: bmc/x}, disk: {serial: X}}
  racks:
    r1:
      hosts:
        - {name: n1, profile: bare, serial: S1, nics: [{mac: "52:54:00:77:00:01"}], address: 10.77.0.2,
           bmc: {address: 10.78.0.1}}
        - {name: n2, profile: old, serial: S2, nics: [{mac: "52:54:00:77:00:02"}], address: 10.77.0.3,
           bmc: {address: 10.78.0.2}}
  clusters:
    c:
      kubernetes: {version: 1.37.2}
      control_plane: {hosts: [n1]}
      workers: {hosts: [n2]}
      network: {pods: 10.79.0.0/16, services: 10.80.0.0/16}
"""
ADDRESS = "10.77.0.2"
CONFIG = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: 10.77.0.2, bindPort: 6443}
nodeRegistration: {name: n1}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.37.2
controlPlaneEndpoint: 10.77.0.2:6443
encryptionAlgorithm: ECDSA-P256
networking: {serviceSubnet: 10.80.0.0/16}
"""


@dataclass
class Racks:
    """The hosts n1 and n2. `root(n)` is the directory that holds the host's own /etc and /usr/local."""

    at: Path
    running: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "BMK_STATE_DIR": str(self.at / "state"), "NO_COLOR": "1"}

    @property
    def state(self) -> Path:
        return self.at / "state/pki"

    def root(self, number: int) -> Path:
        return self.at / "hosts" / f"n{number}"

    def bmk(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        """The command, as a user types it."""
        argv = [sys.executable, "-m", "bmk", *words[:1], *words[1:]]
        return subprocess.run(argv, env=self.env, capture_output=True, text=True, timeout=500, check=False, **more)

    def certs(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.bmk("certs", "show", str(self.at / "dc.yml"), *words)

    def seen(self, *words: str) -> dict[tuple[str, str], dict[str, Any]]:
        """What `-o json` says, by place and kind."""
        done = self.certs("-o", "json", *words)
        assert done.stdout, done.stderr
        return {(part["where"], part["kind"]): part for part in json.loads(done.stdout)["certificates"]}

    def within(self, number: int) -> list[str]:
        """What enters the mounts and processes of a host."""
        pid = self.running[number].pid
        child = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
        return ["nsenter", "--target", child, "--mount", "--pid", "--"]

    def sh(self, script: str, number: int = 1, *, check: bool = True) -> str:
        argv = [*self.within(number), "sh", "-ec", script]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0 or not check, f"{script}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, number: int) -> None:
        """As in a hall, with a /proc of its own."""
        host = self.root(number)
        binds = "; ".join(f"mount --bind {host}/{name} /{name}" for name in hall.OWN)
        script = f"{binds}; mkdir -p /run/sshd; exec /usr/sbin/sshd -D -f {host}/sshd_config -E {host}/sshd.log"
        isolated = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
        argv = ["setpriv", "--pdeathsig", "KILL", "--", *isolated, "sh", "-ec", script]
        self.running[number] = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
        until(lambda: self._answers(number), "sshd does not answer")

    def _answers(self, number: int) -> bool:
        argv = ["ssh-keyscan", "-T", "2", hall.address(number)]
        return b"ssh-ed25519" in subprocess.run(argv, capture_output=True, check=False).stdout

    def stop(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait(30)


def until(true: Callable[[], bool], why: str, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, why
        time.sleep(0.1)


@pytest.fixture(scope="module")
def racks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Racks]:
    if os.geteuid() != 0:
        pytest.skip("mounts and networks of others need root")
    racks = Racks(tmp_path_factory.mktemp("pki"))
    ways = [f"route add local {net} dev lo" for net in ("10.77.0.0/16", "10.78.0.0/16")]
    with network.own(*ways):
        try:
            yield made(racks)
        finally:
            racks.stop()


def made(racks: Racks) -> Racks:
    """Both hosts run, and their keys are pinned."""
    (racks.at / "dc.yml").write_text(FILE)
    done = racks.bmk("validate", "--write", str(racks.at / "dc.yml"))
    assert done.returncode == 0, done.stderr
    identity = racks.state / "ssh/id_ed25519"
    identity.parent.mkdir(parents=True)
    keygen(identity)
    (racks.at / "hosts").mkdir()
    template = hall.template(racks.at / "hosts/template")
    for number in (1, 2):
        host = hall.prepare(racks.at / "hosts", number, identity.with_suffix(".pub").read_text(), template)
        keygen(host / "key")
        racks.start(number)
        key = " ".join((host / "key.pub").read_text().split()[:2])
        journal = Journal.open(racks.state)
        journal.record(f"n{number}", "host_keys", [key])
        MembershipRecord(cluster="c", at=time.time()).save(journal, f"n{number}")
    return racks


def keygen(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


@dataclass
class ControlPlane:
    """etcd, API server, controller manager and scheduler on n1, as kubeadm writes them; a loop is their kubelet."""

    racks: Racks
    config: str = CONFIG
    loops: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def issue(self) -> None:
        """The programs, and all certificates, of a year, as kubeadm makes them."""
        local = self.racks.root(1) / "usr/local/bin"
        for name, called in {"etcd-server": "etcd"}.items() | {n: n for n in PROGRAMS}.items():
            shutil.copy2(program(name), local / called)
        self.racks.sh(
            f"mkdir -p /etc/kubernetes; cd /etc/kubernetes; cat > kubeadm.yml <<'E'\n{self.config}E\n"
            "kubeadm init phase certs all --config kubeadm.yml; kubeadm init phase kubeconfig all --config kubeadm.yml"
        )

    def age(self, left: timedelta) -> None:
        """What kubeadm renews is a year old and ends in so long; programs have to be started to read it."""
        at, now = self.racks.root(1) / "etc/kubernetes", datetime.now(UTC)
        for kind in (kind for kind in KINDS if kind.renewal == "kubeadm"):
            path, signer = (
                at / BY_NAME[name].path.removeprefix("/etc/kubernetes/") for name in (kind.name, kind.signer)
            )
            authority, key = signer.read_text(), signer.with_suffix(".key").read_text()
            path.write_text(aged(path.read_text(), authority, key, now - timedelta(days=365), now + left))
            long_ago = (now - timedelta(days=365)).timestamp()
            os.utime(path, (long_ago, long_ago))

    def run(self) -> None:
        """Start all four, as their manifests say, again whenever one ends."""
        self.racks.sh(
            "cd /etc/kubernetes; kubeadm init phase control-plane all --config kubeadm.yml;"
            "kubeadm init phase etcd local --config kubeadm.yml"
        )
        manifests = self.racks.root(1) / "etc/kubernetes/manifests"
        for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"):
            pod: Any = parse_document((manifests / f"{name}.yaml").read_text(), manifests / name).value
            words = " ".join(f"'{word}'" for word in pod["spec"]["containers"][0]["command"])
            words = words.replace("/var/lib/etcd", "/opt/etcd")
            log = (self.racks.at / f"{name}.log").open("ab")
            script = f"while :; do touch /opt/{name}.began; {words} || :; sleep 0.2; done"
            self.loops.append(subprocess.Popen([*self.racks.within(1), "sh", "-c", script], stdout=log, stderr=log))
        until(lambda: self.kubectl("get", "--raw", "/readyz", check=False) == "ok", "the API does not come up", 240)

    def welcome(self) -> None:
        """The administrator, and bmk's kubeconfig."""
        self.kubectl("create clusterrolebinding admins --clusterrole=cluster-admin --group=kubeadm:cluster-admins")
        self.racks.sh(
            "cd /etc/kubernetes;"
            "kubeadm init phase upload-config kubeadm --config kubeadm.yml --kubeconfig super-admin.conf"
        )
        assert self.racks.bmk("kubeconfig", str(self.racks.at / "dc.yml"), "--path").returncode == 0

    def kubectl(self, *words: str, check: bool = True) -> str:
        return self.racks.sh(f"kubectl --kubeconfig /etc/kubernetes/super-admin.conf {' '.join(words)}", check=check)

    def stop(self) -> None:
        for loop in self.loops:
            loop.kill()
            loop.wait(30)


@pytest.fixture(scope="module")
def plane(racks: Racks) -> Iterator[ControlPlane]:
    """It runs with certificates that are a year old and end in three hours: soon, and not within one run."""
    plane = ControlPlane(racks)
    try:
        plane.issue()
        plane.age(timedelta(hours=3))
        plane.run()
        plane.welcome()
        yield plane
    finally:
        plane.stop()


PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubeadm", "kubectl", "etcdctl")
