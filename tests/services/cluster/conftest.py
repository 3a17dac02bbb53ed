"""A real API server with the controllers that approve and sign certificates, as kubeadm leaves them; nodes only ask."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bmk.cluster.csr import CLIENT, JOINING
from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import Host
from bmk.errors import Unreachable
from bmk.hardening import addons
from bmk.hardening.policy import AUTOMATIC
from bmk.journal import Journal
from bmk.live.cluster import ClusterAccess, LiveCluster
from bmk.ssh import CommandResult
from tests.services.hardening.conftest import Server, free_port, load_version, program, start, stop
from tests.tickets import client_request

CLUSTER = "apps"
FILE = """\
apiVersion: bmk.dev/v1
kind: DataCenter
metadata: {name: joins}
spec:
  deployer: {address: 10.77.0.1}
  networks:
    nodes: {cidr: 10.77.0.0/24, dhcp: {pool: 10.77.0.192/26}, dns: [10.77.0.1]}
    bmc: {cidr: 10.78.0.0/24}
  profiles:
    box: {bmc: {kind: redfish, secret: bmc/x}, disk: {size: ">=1GB"}}
  racks:
    r1:
      hosts:
        - {name: cp-1, profile: box, serial: S1, nics: [{mac: "52:54:00:77:00:0b"}], bmc: {address: 10.78.0.11}}
        - {name: worker-1, profile: box, serial: S2, nics: [{mac: "52:54:00:77:00:0c"}], bmc: {address: 10.78.0.12}}
        - {name: worker-2, profile: box, serial: S3, nics: [{mac: "52:54:00:77:00:0d"}], bmc: {address: 10.78.0.13}}
  clusters:
    apps:
      kubernetes: {version: VERSION}
      control_plane: {hosts: [cp-1]}
      workers: {hosts: [worker-1, worker-2]}
      network: {plugin: none, pods: 10.88.0.0/16, services: 10.99.0.0/16}
"""
IMAGES = {addons.METRICS: f"10.77.0.1:5000/{addons.METRICS}@sha256:{'1' * 64}"}
GROUP = {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io"}
_RIGHTS = "system:certificates.k8s.io:certificatesigningrequests"
# What `kubeadm init` binds: name -> role, group
KUBEADM = {
    "kubeadm:kubelet-bootstrap": ("system:node-bootstrapper", JOINING),
    AUTOMATIC: (f"{_RIGHTS}:nodeclient", JOINING),
    "kubeadm:node-autoapprove-certificate-rotation": (f"{_RIGHTS}:selfnodeclient", "system:nodes"),
}


def no_ssh(host: Host, command: list[str]) -> CommandResult:
    """There are no machines."""
    raise Unreachable("no answer", where=host.name)


@dataclass
class Cluster:
    """The API, and the data center file that its nodes stand in."""

    server: Server
    file: Path

    def live(self, kubeconfig: Path | None = None) -> LiveCluster:
        """As phases ask it, by way of this kubeconfig."""
        site = load_datacenter(self.file), Journal.open(self.file.parent)
        access = ClusterAccess(kubeconfig or self.server.kubeconfig, IMAGES, "standard", no_ssh)
        return LiveCluster(site, CLUSTER, access)

    def bind(self, name: str) -> None:
        role, group = KUBEADM[name]
        self.server.kubectl("create", "clusterrolebinding", name, f"--clusterrole={role}", f"--group={group}")

    def ticket(self, token_id: str, host: str) -> str:
        """What `kubeadm token create --description "bmk: HOST"` leaves in the API; returns the token."""
        end = (datetime.now(UTC) + timedelta(minutes=15)).isoformat(timespec="seconds").replace("+00:00", "Z")
        values = {
            "token-id": token_id, "token-secret": "0123456789abcdef", "expiration": end, "description": f"bmk: {host}",
            "usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true", "auth-extra-groups": JOINING,
        }  # fmt: skip
        metadata = {"name": f"bootstrap-token-{token_id}", "namespace": "kube-system"}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}
        done = self.server.kubectl("apply", "-f", "-", send={**body, "type": "bootstrap.kubernetes.io/token"})
        assert done.returncode == 0, done.stderr
        return f"{token_id}.0123456789abcdef"

    def ask(self, name: str, node: str, token: str = "", pair: Path | None = None) -> str:
        """Ask for the client certificate of a node, with a ticket or as a node; returns the name of the CSR."""
        key, csr = client_request(node)
        self.key(name).write_bytes(key)
        spec = {
            "signerName": CLIENT, "usages": ["digital signature", "client auth"],
            "request": base64.b64encode(csr).decode(),
        }  # fmt: skip
        body = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "spec": spec}
        code, said = self._post({**body, "metadata": {"name": name}}, token, pair)
        if code == 403:
            raise PermissionError(said)
        assert code == 201, said
        return name

    def key(self, request: str) -> Path:
        return self.server.directory / f"{request}.key"

    def certificate(self, request: str, seconds: float) -> bytes | None:
        """The certificate that was signed, as PEM; None when there is none after this time."""
        end = time.monotonic() + seconds
        while True:
            found = json.loads(self.server.kubectl("get", "csr", request, "-o", "json").stdout)
            if text := found.get("status", {}).get("certificate"):
                return base64.b64decode(text)
            if time.monotonic() > end:
                return None
            time.sleep(0.1)

    def pair(self, request: str) -> Path:
        """Key and certificate of a request that was signed, in one file."""
        certificate = self.certificate(request, 30)
        assert certificate is not None
        path = self.server.directory / f"{request}.pem"
        path.write_bytes(self.key(request).read_bytes() + certificate)
        return path

    def _post(self, body: dict[str, Any], token: str, pair: Path | None) -> tuple[int, str]:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if pair is not None:
            context.load_cert_chain(pair)
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        url = f"https://127.0.0.1:{self.server.port}/apis/certificates.k8s.io/v1/certificatesigningrequests"
        handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=20) as answer:
                return int(answer.status), answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """API server, etcd and the two controllers, with the bindings of kubeadm."""
    directory = tmp_path_factory.mktemp("joins")
    authority = _authority(directory)
    flags = {"enable-bootstrap-token-auth": "true", "client-ca-file": str(authority)}
    server = Server(directory, free_port(), free_port(), load_version(), flags)
    running = start(server)
    surroundings = pytest.MonkeyPatch()
    surroundings.setenv("BMK_STATE_DIR", str(directory / "state"))
    try:
        running.append(_controllers(server, authority))
        file = directory / "dc.yml"
        file.write_text(FILE.replace("VERSION", server.version))
        subprocess.run([sys.executable, "-m", "bmk", "validate", str(file), "--write"], check=True, capture_output=True)
        found = Cluster(server, file)
        for name in KUBEADM:
            found.bind(name)
        yield found
    finally:
        surroundings.undo()
        stop(running)


def _authority(directory: Path) -> Path:
    """The cluster's authority, which signs what is approved."""
    crt, key = directory / "ca.crt", directory / "ca.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=kubernetes", "-days", "2", "-keyout", str(key), "-out", str(crt)]
    subprocess.run(command, check=True, capture_output=True)
    return crt


def _controllers(server: Server, authority: Path) -> subprocess.Popen[bytes]:
    names = ("certificatesigningrequest-approving-controller", "certificatesigningrequest-signing-controller")
    flags = {
        "kubeconfig": str(server.kubeconfig), "controllers": ",".join(names), "leader-elect": "false",
        "cluster-signing-cert-file": str(authority), "cluster-signing-key-file": str(authority.with_suffix(".key")),
        "secure-port": str(free_port()), "bind-address": "127.0.0.1",
    }  # fmt: skip
    argv = [str(program("kube-controller-manager")), *(f"--{name}={value}" for name, value in flags.items())]
    with (server.directory / "controllers.log").open("wb") as log:
        return subprocess.Popen(argv, stdout=log, stderr=log, cwd=server.directory)
