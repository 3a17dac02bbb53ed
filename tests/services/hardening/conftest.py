"""A real API server and etcd as plain processes, started with the files that bmk writes for control planes."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import ansible.module_utils
import pytest

import bmk.ansible
from bmk.artifacts.mirror import load_mirror
from bmk.cluster.anonymous import ready
from bmk.cluster.api import Api
from bmk.errors import BmkError
from bmk.hardening import apiserver

_UTILS = str(Path(bmk.ansible.__file__).parent / "module_utils")
if _UTILS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_UTILS)
GROUPS = {"default": "warn", "namespaces": {"named": "deny"}, "exempt": ["kube-system"]}
SETTINGS = {"groups": GROUPS, "pod_security": {"enforce": "privileged", "exempt": ["kube-system"]}}
ADMIN, NOBODY = "admin-token", "token-without-roles"


@dataclass
class Server:
    """One API server. `kubectl` talks to it as the administrator. `flags` are added to ours."""

    directory: Path
    port: int
    etcd: int
    version: str
    flags: Mapping[str, str] = field(default_factory=dict)

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    def api(self) -> Api:
        return Api(self.kubeconfig)

    def kubectl(self, *arguments: str, send: Any = None) -> subprocess.CompletedProcess[str]:
        """The program's exit code, output and what it says on stderr, warnings of the server included."""
        argv = [str(program("kubectl")), "--kubeconfig", str(self.kubeconfig), *arguments]
        text = json.dumps(send) if send is not None else None
        return subprocess.run(argv, input=text, capture_output=True, text=True, timeout=60, check=False)

    def apply(self, body: dict[str, Any]) -> tuple[bool, str]:
        """Whether an object is admitted, and what the server said, warnings included."""
        group, namespace = body["apiVersion"], body["metadata"].get("namespace")
        where = f"/api/{group}" if group == "v1" else f"/apis/{group}"
        where += f"/namespaces/{namespace}" if namespace else ""
        code, said = self.ask(f"{where}/{body['kind'].lower()}s", body, ADMIN)
        return code == 201, said

    def ask(self, path: str, body: Any = None, token: str = "") -> tuple[int, str]:
        """Status of a request, and its body with the server's warnings."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}", data, headers)
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=20) as answer:
                return int(answer.status), "\n".join(answer.headers.get_all("Warning") or []) + answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def audit(self) -> list[dict[str, Any]]:
        """The audit log."""
        log = self.directory / "audit.log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def program(name: str) -> Path:
    """A binary of the mirror; skips where there is no mirror."""
    try:
        path = load_mirror().file(name).local
    except BmkError as error:
        pytest.skip(f"{error.what}: {error.why}")
    path.chmod(0o755)
    return path


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Started once; namespaces keep tests apart."""
    directory = tmp_path_factory.mktemp("api")
    found = Server(directory, free_port(), free_port(), load_version())
    running = start(found)
    try:
        yield found
    finally:
        stop(running)


def start(server: Server) -> list[subprocess.Popen[bytes]]:
    """etcd and the API server, ready; nothing is left running when they do not become so."""
    _write(server)
    running: list[subprocess.Popen[bytes]] = []
    try:
        for name, argv in (("etcd", _etcd(server)), ("apiserver", _apiserver(server))):
            with (server.directory / f"{name}.log").open("wb") as log:
                running.append(subprocess.Popen(argv, stdout=log, stderr=log, cwd=server.directory))
        _until_ready(server, running[1])
    except BaseException:
        stop(running)
        raise
    return running


def stop(running: list[subprocess.Popen[bytes]]) -> None:
    """End them at once: nothing of what they hold is kept."""
    for process in reversed(running):
        process.kill()
    for process in running:
        process.wait(30)


def load_version() -> str:
    program("kube-apiserver")
    return load_mirror().file("kube-apiserver").version.removeprefix("v")


def _until_ready(server: Server, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while not ready(f"127.0.0.1:{server.port}"):
        assert process.poll() is None, (server.directory / "apiserver.log").read_text()[-3000:]
        assert time.monotonic() < end, "the API server does not become ready"
        time.sleep(0.1)
    while server.kubectl("get", "serviceaccounts", "-n", "default").returncode:
        assert time.monotonic() < end, "the namespace default does not appear"
        time.sleep(0.1)


def _write(server: Server) -> None:
    encryption = import_module("ansible.module_utils.bmk_key_file").encryption
    for path, document in apiserver.files(server.version, SETTINGS).items():
        (server.directory / Path(path).name).write_text(json.dumps(document))
    (server.directory / "encryption.yaml").write_text(encryption(os.urandom(32)))
    (server.directory / "tokens.csv").write_text(f"{ADMIN},admin,1,system:masters\n{NOBODY},nobody,2\n")
    key = server.directory / "sa.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    cluster = {"server": f"https://127.0.0.1:{server.port}", "insecure-skip-tls-verify": True}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": ADMIN}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    server.kubeconfig.write_text(json.dumps(config))


def _etcd(server: Server) -> list[str]:
    peer = free_port()
    urls = {"listen-client-urls": server.etcd, "advertise-client-urls": server.etcd, "listen-peer-urls": peer}
    flags = [f"--{name}=http://127.0.0.1:{port}" for name, port in urls.items()]
    return [str(program("etcd-server")), "--data-dir", str(server.directory / "etcd"), *flags]


def _apiserver(server: Server) -> list[str]:
    """Our flags with the paths of this place; those of kubeadm's that matter for admission."""
    own = {name: _here(server, value) for name, value in apiserver.arguments().items()}
    own.pop("kubelet-certificate-authority")  # there is no kubelet
    key = str(server.directory / "sa.key")
    flags = {
        **own,
        "etcd-servers": f"http://127.0.0.1:{server.etcd}",
        "secure-port": str(server.port),
        "bind-address": "127.0.0.1",
        "advertise-address": "192.0.2.10",  # it would look for a default route, which a namespace has not
        "cert-dir": str(server.directory / "certs"),
        "service-account-key-file": key,
        "service-account-signing-key-file": key,
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-cluster-ip-range": "10.255.0.0/24",
        "token-auth-file": str(server.directory / "tokens.csv"),
        "authorization-mode": "Node,RBAC",
        "disable-admission-plugins": "ServiceAccount",  # its controller is not here
        **server.flags,
    }
    return [str(program("kube-apiserver")), *(f"--{name}={value}" for name, value in flags.items())]


def _here(server: Server, value: str) -> str:
    for directory in (apiserver.DIRECTORY, apiserver.AUDIT_LOGS):
        value = value.replace(directory, str(server.directory))
    return value
