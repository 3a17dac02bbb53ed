"""A control plane of real programs whose secrets are encrypted in etcd; clients that write and read all the time."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.services.certificates.conftest import ADDRESS, CONFIG, ControlPlane, Racks, racks
from tests.services.hardening.conftest import start  # noqa: F401 - lets Ansible's own modules be imported here

__all__ = ["racks"]

SECRETS = 120
ENCRYPTED = """\
apiServer:
  extraArgs: [{name: encryption-provider-config, value: /etc/kubernetes/bmk/encryption.yaml}]
"""


@dataclass
class Clients:
    """One writes secrets, one lists them all. `acknowledged`: the last value of each that the API server confirmed.

    `away`: moments at which it did not serve; `odd`: any other answer than what was asked for.
    """

    plane: ControlPlane
    acknowledged: dict[str, str] = field(default_factory=dict)
    away: list[float] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    lists: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.context = ssl.create_default_context()
        text = (self.plane.racks.root(1) / "etc/kubernetes/super-admin.conf").read_text()
        pair = [base64.b64decode(re.search(rf"{part}-data: (\S+)", text)[1]).decode() for part in PARTS]
        pem = self.plane.racks.at / "client.pem"
        pem.write_text("".join(pair))
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        self.context.load_cert_chain(pem)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and body; (0, why) when nobody answers."""
        line = http.client.HTTPSConnection(ADDRESS, 6443, timeout=20, context=self.context)
        try:
            line.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
            answer = line.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            return 0, f"{type(error).__name__}: {error}"
        finally:
            line.close()

    def _judge(self, code: int, said: Any) -> bool:
        """Whether it was done. An API server that ends or begins refuses, or knows no roles yet."""
        if code in (200, 201):
            return True
        begins = code == 403 and "cannot" in str(said)
        if code in (0, 429, 503, 504) or begins:
            self.away.append(time.monotonic())
            time.sleep(0.05)
        else:
            self.odd.append(f"{code}: {said}")
        return False

    def write(self) -> None:
        turn = 0
        while not self.over.is_set():
            turn += 1
            name, value = f"w{turn % 20}", str(turn)
            body = secret(name, value)
            done = False
            while not done and not self.over.is_set():
                code, said = self.ask("PUT", f"{SECRETS_OF}/{name}", body)
                if code == 404:
                    code, said = self.ask("POST", SECRETS_OF, body)
                done = self._judge(code, said)
            if done:
                self.acknowledged[name] = value

    def read(self) -> None:
        while not self.over.is_set():
            code, said = self.ask("GET", "/api/v1/secrets")
            if self._judge(code, said):
                self.lists += 1
                if len(said["items"]) < SECRETS:
                    self.odd.append(f"{len(said['items'])} secrets")


PARTS = ("client-certificate", "client-key")
SECRETS_OF = "/api/v1/namespaces/default/secrets"


def secret(name: str, value: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"v": value}}


@pytest.fixture(scope="module")
def plane(racks: Racks) -> Iterator[ControlPlane]:
    """With secrets under a first key, one that cannot be changed among them."""
    racks.sh("mount -t tmpfs tmpfs /run; mkdir -p /run/sshd")
    plane = ControlPlane(racks, CONFIG + ENCRYPTED)
    file = racks.root(1) / "etc/kubernetes/bmk/encryption.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(import_module("ansible.module_utils.bmk_key_file").encryption(os.urandom(32)))
    file.chmod(0o640)
    os.chown(file, 0, 12345)
    try:
        plane.issue()
        plane.run()
        plane.welcome()
        items = [secret(f"s{n}", f"v{n}") for n in range(SECRETS - 1)] + [{**secret("fixed", "v"), "immutable": True}]
        (racks.root(1) / "opt/items.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        plane.kubectl("create -n default -f /opt/items.json")
        yield plane
    finally:
        plane.stop()


@pytest.fixture
def clients(plane: ControlPlane) -> Iterator[Clients]:
    found = Clients(plane)
    threads = [threading.Thread(target=work) for work in (found.write, found.read)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        found.over.set()
        for thread in threads:
            thread.join(60)


def keys(racks: Racks) -> list[dict[str, str]]:
    """Of the file on the control plane."""
    body = json.loads((racks.root(1) / "etc/kubernetes/bmk/encryption.yaml").read_text())
    return list(body["resources"][0]["providers"][0]["secretbox"]["keys"])


ETCD = "etcdctl --endpoints https://127.0.0.1:2379 " + " ".join(
    f"--{flag} /etc/kubernetes/pki/etcd/{name}" for flag, name in
    {"cacert": "ca.crt", "cert": "server.crt", "key": "server.key"}.items()
)  # fmt: skip


def under(racks: Racks) -> dict[str, int]:
    """How many secrets in etcd are under which key, counted here."""
    body = json.loads(racks.sh(f"{ETCD} get /registry/secrets/ --prefix -w json"))
    found: dict[str, int] = {}
    for one in body["kvs"]:
        head = base64.b64decode(one["value"])[:60].decode("latin-1")
        name = head.split(":")[4] if head.startswith("k8s:enc:secretbox:v1:") else ""
        found[name] = found.get(name, 0) + 1
    return found


def cmdlines() -> Iterator[str]:
    """Arguments of everything that runs on this machine."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_text(errors="replace")
        except OSError:
            continue
