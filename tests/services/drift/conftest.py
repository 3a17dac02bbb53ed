"""A small data center of sshd hosts in a network namespace of the test, with signed baselines."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.services.drift import hall

HERE = Path(__file__).parent
COUNT = 14
FIRMWARE = "uefi" if Path("/sys/firmware/efi").is_dir() else "bios"  # that of the machine under the hosts
FILE = """\
apiVersion: bmk.dev/v1
kind: DataCenter
metadata: {{name: office}}
spec:
  deployer: {{address: 10.77.200.1}}
  networks:
    nodes: {{cidr: 10.77.0.0/16, dns: [10.77.200.1]}}
    bmc: {{cidr: 10.78.0.0/16}}
  profiles:
    bare:
      bmc: {{kind: redfish, secret: bmc/office}}
      firmware: {firmware}
      disk: {{serial: X}}
  racks:
    r1:
      hosts:
{hosts}
  clusters:
    c:
      kubernetes: {{version: 1.37.2}}
      control_plane: {{hosts: [n1]}}
      workers: {{hosts: [{workers}]}}
      network: {{pods: 10.79.0.0/16, services: 10.80.0.0/16}}
{expected}
"""
HOST = """\
        - {{name: n{n}, profile: bare, serial: S{n}, nics: [{{mac: "52:54:00:77:00:{n:02x}"}}],
           address: {address}, bmc: {{address: 10.78.0.{n}}}, disk: {{serial: D{n}}}}}"""


@dataclass
class Office:
    """Hosts n1 to n14. `root(n)` is the directory that holds the host's own /etc, /root, /opt and /usr/local."""

    at: Path
    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self, number: int) -> None:
        """This host's sshd dies."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "stopped\n"

    def root(self, number: int) -> Path:
        return self.at / "hosts" / f"n{number}"

    def write(self, expected: str = "") -> None:
        """dc.yml, with `expected:` entries."""
        hosts = "\n".join(HOST.format(n=n, address=hall.address(n)) for n in range(1, COUNT + 1))
        workers = ", ".join(f"n{n}" for n in range(2, COUNT + 1))
        (self.at / "dc.yml").write_text(FILE.format(firmware=FIRMWARE, hosts=hosts, workers=workers, expected=expected))

    def drive(self, what: str, **asked: Any) -> Any:
        """See drive.py; runs in the namespace of the hosts."""
        argv = [*self.inside, sys.executable, str(HERE / "drive.py"), str(self.at / "dc.yml"), what, json.dumps(asked)]
        done = subprocess.run(argv, env=self.env, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def drift(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command, as a user types it."""
        argv = [*self.inside, sys.executable, "-m", "bmk", "drift", str(self.at / "dc.yml"), "--no-bmc", *arguments]
        return subprocess.run(argv, env=self.env, capture_output=True, text=True, timeout=180, check=False)

    def document(self, *arguments: str) -> dict[str, Any]:
        """What `-o json` says, by host."""
        done = self.drift("-o", "json", *arguments)
        assert done.stdout, done.stderr
        return {s["name"]: s for s in json.loads(done.stdout)["standings"]}

    def sysctl(self, name: str, value: str) -> None:
        """Set it in the hosts' network."""
        subprocess.run([*self.inside, "sh", "-c", f"echo {value} > /proc/sys/{name}"], check=True)

    @contextmanager
    def route(self, *words: str) -> Iterator[None]:
        """A route of the hosts' network, set by hand."""
        subprocess.run([*self.inside, "ip", "route", "add", *words], check=True)
        yield
        subprocess.run([*self.inside, "ip", "route", "delete", *words], check=True)

    @contextmanager
    def listening(self, kind: str, port: int) -> Iterator[None]:
        """Somebody listens there. `kind` is STREAM or DGRAM."""
        code = (
            f"import socket,sys\ns=socket.socket(type=socket.SOCK_{kind})\ns.bind(('0.0.0.0',{port}))\n"
            + ("s.listen()\n" if kind == "STREAM" else "")
            + "print(flush=True)\nsys.stdin.read()"
        )
        process = subprocess.Popen([*self.inside, sys.executable, "-c", code], stdin=-1, stdout=-1, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.communicate(timeout=10)

    def within(self, number: int) -> list[str]:
        """What enters the mounts of a host that runs."""
        config = f" -f {self.root(number)}/sshd_config ".encode()
        running = (p.parent.name for p in Path("/proc").glob("[0-9]*/cmdline") if config in _title(p))
        return ["nsenter", "--target", min(running, key=int), "--mount", "--"]

    @property
    def inside(self) -> list[str]:
        return ["nsenter", "--target", str(self.pid), "--net", "--"]

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "BMK_STATE_DIR": str(self.at / "state"), "NO_COLOR": "1"}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    if os.geteuid() != 0:
        pytest.skip("mount and network namespaces of others need root")
    at = tmp_path_factory.mktemp("office")
    with Running(at, COUNT) as process:
        office = Office(at, process)
        office.write()
        argv = [sys.executable, "-m", "bmk", "validate", "--write", str(at / "dc.yml")]
        subprocess.run(argv, env=office.env, check=True, capture_output=True)
        signed = office.drive("sign")
        assert set(signed.values()) == {"[]"}, signed
        yield office


class Running:
    """Hosts of a hall, started in a network of their own; gives the process that holds it."""

    def __init__(self, at: Path, count: int) -> None:
        self.at, self.count, self.nics = at, count, True

    def __enter__(self) -> subprocess.Popen[str]:
        identity = self.at / "state/office/ssh/id_ed25519"
        identity.parent.mkdir(parents=True)
        _keygen(identity)
        hosts = self.at / "hosts"
        hosts.mkdir()
        template, keys = hall.template(hosts / "template"), {}
        _node(template)
        _keygen(self.at / "host_key")
        for number in range(1, self.count + 1):
            host = hall.prepare(hosts, number, identity.with_suffix(".pub").read_text(), template)
            (host / "key").write_bytes((self.at / "host_key").read_bytes())
            (host / "key").chmod(0o600)
            keys[f"n{number}"] = [" ".join((self.at / "host_key.pub").read_text().split()[:2])]
        (self.at / "keys.json").write_text(json.dumps(keys))
        nics = "".join(
            f"ip link add v{n} mtu 1500 address 52:54:00:77:00:{n:02x} type veth peer name p{n}; "
            f"ip link set v{n} up; ip link set p{n} up; ip address add {hall.address(n)}/16 dev v{n}; "
            for n in range(1, self.count + 1)
        )
        nics = nics if self.nics else "ip route add local 10.77.0.0/16 dev lo;"
        script = f'ip link set lo up; {nics} exec "$@"'
        argv = ["unshare", "--net", "sh", "-ec", script, "sh", sys.executable, str(HERE / "hall.py"), str(hosts)]
        self.process = subprocess.Popen([*argv, "1", str(self.count)], stdin=-1, stdout=-1, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "started\n"
        return self.process

    def __exit__(self, *_: object) -> None:
        self.process.communicate(timeout=30)


def _title(cmdline: Path) -> bytes:
    """What a process calls itself: sshd gives its arguments in one line."""
    try:
        return cmdline.read_bytes()
    except OSError:
        return b""  # it has ended meanwhile


def _keygen(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


def _node(template: Path) -> None:
    """What a converge leaves, in small: files, a binary, a static pod, and the manifest that names them."""
    content = {
        "etc/containerd/config.toml": ("version = 4\n", 0o640),
        "etc/kubernetes/manifests/etcd.yaml": ("kind: Pod\nname: etcd\ntoken: abcdef.0123456789abcdef\n", 0o600),
        "usr/local/bin/kubelet": ("#!/bin/sh\n: one\n", 0o755),
        "opt/cni/bin/bridge": ("#!/bin/sh\n", 0o755),
        "etc/bmk/manifest.json": (json.dumps(manifest()), 0o600),
    }
    for name, (text, mode) in content.items():
        path = template / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
    with (template / "etc/group").open("a") as file:
        file.write("bmk-cri:x:952:\n")


def manifest() -> dict[str, Any]:
    """As bmk_manifest writes it."""

    def digest(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    rights = {"type": "file", "owner": "root", "group": "root"}
    config = {**rights, "mode": "0640", "sha256": digest("version = 4\n")}
    kubelet = {"mode": "0755", "sha256": digest("#!/bin/sh\n: one\n")}
    sections = {
        "container_runtime.files": {
            "inputs": "1",
            "items": [{"path": "/etc/containerd/config.toml", "desired": config}],
        },
        "kubelet.downloads": {"inputs": "2", "items": [{"dest": "/usr/local/bin/kubelet", "desired": kubelet}]},
        "node_baseline.sysctls": {
            "inputs": "3",
            "items": [{"name": "net.ipv4.ip_forward", "own": True, "desired": {"value": "1"}}],
        },
        "node_baseline.packages": {
            "inputs": "4",
            "items": [{"name": "openssh-server", "desired": {"installed": True}}],
        },
        "container_runtime.groups": {
            "inputs": "5",
            "items": [{"name": "bmk-cri", "desired": {"gid": 952, "members": ""}}],
        },
    }
    return {"schema": 1, "host": "any", "digest": "d", "sections": sections}
