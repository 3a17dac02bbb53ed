"""A real cluster to take backups of: etcd, an API server that encrypts its secrets, files as kubeadm makes them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pyrage
import pytest

from bmk.backup.collect import MemberRequest, program, receive
from bmk.backup.manifest import REQUIRED, EtcdState
from bmk.backup.targets import TargetAccess, open_target
from bmk.cluster.api import wait_for
from bmk.datacenter.backup_spec import BackupSpec
from bmk.datacenter.load import load_datacenter
from bmk.errors import BackupRefused
from bmk.journal import Journal
from bmk.live.backup_service import BackupSite, back_up
from bmk.secrets import Credentials
from tests.cluster_keys import make_pairs
from tests.services.hardening.conftest import Server, free_port, load_version, start, stop
from tests.services.hardening.conftest import program as of_mirror

CLUSTER = "apps"
KEY, OTHER = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
SECRETS, MAPS = 40, 200
FILE = """\
apiVersion: bmk.dev/v1
kind: DataCenter
metadata: {name: kept}
spec:
  deployer: {address: 10.77.0.1}
  networks:
    nodes: {cidr: 10.77.0.0/24, dns: [10.77.0.1]}
    bmc: {cidr: 10.78.0.0/24}
  profiles:
    box: {bmc: {kind: redfish, secret: bmc/x}, disk: {size: ">=1GB"}}
  racks:
    r1:
      hosts:
        - {name: cp-1, profile: box, serial: S1, nics: [{mac: "52:54:00:77:00:0b"}], bmc: {address: 10.78.0.11}}
  clusters:
    apps:
      kubernetes: {version: VERSION}
      control_plane: {hosts: [cp-1]}
      network: {plugin: none, pods: 10.88.0.0/16, services: 10.255.0.0/24}
  backup:
    recipients: [RECIPIENT]
    target: {directory: {path: PLACE}}
    retention: {count: 2, days: 30}
"""


@dataclass
class Member:
    """The control plane: its API server, and `root`, which holds its /etc/kubernetes."""

    server: Server
    root: Path
    work: Path

    @property
    def request(self) -> MemberRequest:
        etcdctl = (str(of_mirror("etcdctl")), "--endpoints", f"http://127.0.0.1:{self.server.etcd}")
        return MemberRequest(etcdctl, str(of_mirror("etcdutl")), 1 << 30, 300, str(self.root), str(self.work))

    def etcdctl(self, *words: str) -> str:
        argv = [*self.request.etcdctl, *words]
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout

    def collect(self, into: Path) -> EtcdState:
        """What the program says that is sent to a control plane; here it runs on this machine."""
        wish = self.request
        argv = [sys.executable, "-I", "-B", "-"]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(program(wish))
            process.stdin.close()
            state = receive(process.stdout.read, into, wish)
            assert process.stdout.read().strip(b"\0") == b"", "only what tar pads with"
        assert process.returncode == 0
        assert [path.name for path in self.work.iterdir()] == ["lock"], "nothing plain stays on the control plane"
        return state


@pytest.fixture(scope="module", autouse=True)
def memory() -> Iterator[Path]:
    """Where plain backups of these tests are; other tests may run beside them."""
    path = Path(tempfile.mkdtemp(prefix="tests-", dir="/dev/shm"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNTIME_DIRECTORY", str(path))
        yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Member]:
    """With some hundred objects and an encryption key, compacted once."""
    directory, root = tmp_path_factory.mktemp("member"), tmp_path_factory.mktemp("root")
    server = Server(directory, free_port(), free_port(), load_version())
    running = start(server)
    try:
        make_pairs(root)
        settings = root / "etc/kubernetes/bmk"
        settings.mkdir()
        for path in REQUIRED:
            if path.startswith("/etc/kubernetes/bmk/"):
                shutil.copy(directory / Path(path).name, settings)
        found = Member(server, root, tmp_path_factory.mktemp("work") / "backup")
        _fill(server)
        at = json.loads(found.etcdctl("endpoint", "status", "-w", "json"))[0]["Status"]["header"]["revision"]
        found.etcdctl("compaction", str(at - 5))
        yield found
    finally:
        stop(running)


# What a cluster has and a scratch API server has not: a server for a group of its own, and a webhook that converts.
_EXTENSION = {
    "apiVersion": "apiregistration.k8s.io/v1",
    "kind": "APIService",
    "metadata": {"name": "v1beta1.metrics.k8s.io"},
    "spec": {
        **{"group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100},
        **{"service": {"name": "metrics-server", "namespace": "kube-system"}, "insecureSkipTLSVerify": True},
    },
}
_CONVERTED = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "racks.example.k8s.io", "annotations": {"api-approved.kubernetes.io": "unapproved, a test"}},
    "spec": {
        **{"group": "example.k8s.io", "scope": "Cluster", "names": {"plural": "racks", "kind": "Rack"}},
        "versions": [
            {"name": n, "served": True, "storage": n == "v1", "schema": {"openAPIV3Schema": {"type": "object"}}}
            for n in ("v1", "v2")
        ],
        "conversion": {
            "strategy": "Webhook",
            "webhook": {
                "conversionReviewVersions": ["v1"],
                "clientConfig": {"service": {"name": "gone", "namespace": "default"}},
            },
        },
    },
}


def _fill(server: Server) -> None:
    content = [("Secret", "stringData", f"s{n}", f"v{n}") for n in range(SECRETS)]
    content += [("ConfigMap", "data", f"m{n}", "v" * n) for n in range(MAPS)]
    items = [
        {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "default"}, field: {"k": value}}
        for kind, field, name, value in content
    ]
    items += [_EXTENSION, _CONVERTED]
    done = server.kubectl("create", "-f", "-", send={"apiVersion": "v1", "kind": "List", "items": items})
    assert done.returncode == 0, done.stderr
    rack = {"apiVersion": "example.k8s.io/v1", "kind": "Rack", "metadata": {"name": "r1"}}
    wait_for(lambda: server.kubectl("create", "-f", "-", send=rack).returncode == 0, 60, "the API takes racks")


@pytest.fixture(scope="module")
def programs() -> dict[str, Path]:
    return {name: of_mirror(name) for name in ("etcd-server", "etcdctl", "etcdutl", "kube-apiserver")}


Maker = Callable[[Path], BackupSite]


@pytest.fixture(scope="module")
def make_site(member: Member, programs: dict[str, Path]) -> Maker:
    """A data center in a directory, with its state; its backups go into the directory `place` there."""

    def make(at: Path) -> BackupSite:
        (at / "place").mkdir(parents=True, exist_ok=True)
        text = FILE.replace("VERSION", member.server.version).replace("RECIPIENT", str(KEY.to_public()))
        file = at / "dc.yml"
        file.write_text(text.replace("PLACE", str(at / "place")))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BMK_STATE_DIR", str(at / "state"))
            subprocess.run(
                [sys.executable, "-m", "bmk", "validate", str(file), "--write"], check=True, capture_output=True
            )
            dc = load_datacenter(file)
        spec = dc.spec.backup
        assert isinstance(spec, BackupSpec)
        target = open_target(spec.target, TargetAccess(lambda: file, _no_secret, at))
        return BackupSite(dc, Journal.open(dc.state), CLUSTER, spec, target, programs, member.collect)

    return make


def _no_secret(ref: str) -> Credentials:
    raise AssertionError(f"a directory needs no {ref}")


@pytest.fixture
def site(make_site: Maker, tmp_path: Path) -> BackupSite:
    """Without any backup yet."""
    return make_site(tmp_path)


@dataclass
class Taken:
    """A data center with an older and a newer backup, and all that could be heard and seen while they were taken."""

    site: BackupSite
    said: list[str]

    def tell(self, text: str) -> None:
        self.said.append(text)
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                self.said.append(path.read_text())


@pytest.fixture(scope="module")
def taken(make_site: Maker, member: Member, tmp_path_factory: pytest.TempPathFactory) -> Taken:
    found = Taken(make_site(tmp_path_factory.mktemp("taken")), [])
    back_up(replace(found.site, tell=found.tell))
    member.server.kubectl("create", "configmap", "later", "-n", "default")
    back_up(found.site)
    return found


@pytest.fixture
def two(taken: Taken, make_site: Maker, tmp_path: Path) -> BackupSite:
    """A copy of it, to be damaged."""
    shutil.copytree(taken.site.dc.source.parent / "place", tmp_path / "place")
    copy = make_site(tmp_path)
    taken.site.record.save(copy.journal, CLUSTER)
    return copy


def reason(work: Callable[[], object]) -> str:
    """Why it was refused."""
    with pytest.raises(BackupRefused) as refusal:
        work()
    assert refusal.value.hint
    return refusal.value.reason


def left_in_memory() -> list[str]:
    """Directories of plain backups."""
    return [path.name for path in Path(os.environ["RUNTIME_DIRECTORY"]).glob("bmk-backup-*")]
