"""A real cluster to take backups of: etcd, an API server that encrypts its secrets, files as kubeadm makes them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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
    """The control plane: its API server (`process`), and `root`, which holds its /etc/kubernetes.

    `calls`: ports of the loopback that objects of it make an API server call, by why.
    """

    server: Server
    root: Path
    work: Path
    process: subprocess.Popen[bytes]
    calls: Mapping[str, int]

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
        calls = {why: free_port() for why in ("aggregated", "conversion", "admission")}
        found = Member(server, root, tmp_path_factory.mktemp("work") / "backup", running[1], calls)
        _fill(server, calls)
        at = json.loads(found.etcdctl("endpoint", "status", "-w", "json"))[0]["Status"]["header"]["revision"]
        found.etcdctl("compaction", str(at - 5))
        yield found
    finally:
        stop(running)


def _callers(ports: Mapping[str, int]) -> list[dict[str, Any]]:
    """What a cluster has and a scratch API server has not: servers for groups of their own, one of them a name outside
    of the cluster; webhooks that convert and admit. Whoever writes to the cluster chooses whom they call."""
    aggregated = {"groupPriorityMinimum": 100, "versionPriority": 100, "insecureSkipTLSVerify": True}
    metrics = {
        "group": "metrics.k8s.io",
        "version": "v1beta1",
        "service": {"name": "metrics-server", "namespace": "kube-system"},
    }
    outside = {
        "group": "outside.example.com",
        "version": "v1",
        "service": {"name": "outside", "namespace": "default", "port": ports["aggregated"]},
    }
    convert, admit = ({"url": f"https://127.0.0.1:{ports[why]}/"} for why in ("conversion", "admission"))
    leases = {"apiGroups": ["coordination.k8s.io"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["leases"]}
    return [
        _object("apiregistration.k8s.io/v1", "APIService", "v1beta1.metrics.k8s.io", spec=metrics | aggregated),
        _object("apiregistration.k8s.io/v1", "APIService", "v1.outside.example.com", spec=outside | aggregated),
        _object(
            "v1",
            "Service",
            "outside",
            namespace="default",
            spec={"type": "ExternalName", "externalName": "localhost", "ports": [{"port": ports["aggregated"]}]},
        ),
        {
            **_object("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "leases"),
            "webhooks": [
                {
                    "name": "leases.example.com",
                    "clientConfig": admit,
                    "rules": [leases],
                    "failurePolicy": "Ignore",
                    "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                    "timeoutSeconds": 1,
                }
            ],
        },
        _object(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            "racks.example.com",
            spec={
                "group": "example.com",
                "scope": "Cluster",
                "names": {"plural": "racks", "kind": "Rack"},
                "versions": [
                    {"name": n, "served": True, "storage": n == "v1", "schema": {"openAPIV3Schema": {"type": "object"}}}
                    for n in ("v1", "v2")
                ],
                "conversion": {
                    "strategy": "Webhook",
                    "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": convert},
                },
            },
        ),
    ]


def _object(version: str, kind: str, name: str, *, namespace: str | None = None, **more: Any) -> dict[str, Any]:
    place = {"namespace": namespace} if namespace else {}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **place}, **more}


def _fill(server: Server, calls: Mapping[str, int]) -> None:
    content = [("Secret", "stringData", f"s{n}", f"v{n}") for n in range(SECRETS)]
    content += [("ConfigMap", "data", f"m{n}", "v" * n) for n in range(MAPS)]
    items = [
        {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "default"}, field: {"k": value}}
        for kind, field, name, value in content
    ]
    items += [
        *_callers(calls),
        _object("rbac.authorization.k8s.io/v1", "ClusterRole", "with blanks, ü and ?", rules=[]),
    ]
    done = server.kubectl("create", "-f", "-", send={"apiVersion": "v1", "kind": "List", "items": items})
    assert done.returncode == 0, done.stderr
    rack = _object("example.com/v1", "Rack", "r1")
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
        # on a server, journals are told apart by the name of this directory, and these data centers have one name
        state = dc.state.with_name(f"{dc.name}-{hashlib.sha256(bytes(at)).hexdigest()[:8]}")
        return BackupSite(dc, Journal.open(state), CLUSTER, spec, target, programs, member.collect)

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
