"""An API, or a kubelet behind it, that answers anything: an error of bmk's own, never another one."""

from __future__ import annotations

import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bmk.cluster.anonymous import PATHS, ask, live_control_planes
from bmk.cluster.api import Api, connection
from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import DataCenter, Host
from bmk.errors import BmkError, Unreachable
from bmk.hardening import addons, network
from bmk.journal import Journal
from bmk.live.cluster import ClusterAccess, LiveCluster
from bmk.plan.actual import Drifted
from bmk.secrets.certificate import self_signed
from bmk.ssh import CommandResult

pytestmark = pytest.mark.services
INVENTORY = Path(__file__).resolve().parents[3] / "inventories" / "lab-ha"
IMAGES = {name: f"mirror/{name}@sha256:{'1' * 64}" for name in (addons.METRICS, network.ENGINE)}
ANSWERS = [
    b"", b"<html>", b"\xff\xfe", b"null", b"[]", b"7", b"{}", b'{"items": null}', b'{"items": 7}', b'{"items": [7]}',
    b'{"items": [{}]}', b'{"items": [{"metadata": {"name": "n"}, "status": 7}]}', b'{"kubeletconfig": 7}',
    b'{"items": [{"metadata": {"name": "n"}, "status": {"conditions": [7]}}]}', b"[" * 5000,
    b'{"items": [{"metadata": {"name": 7, "namespace": [], "labels": 7}}]}',
    b'{"items": [{"metadata": {"name": "n", "ownerReferences": [7], "annotations": 7}, "spec": 7, "roleRef": 7}]}',
    b'{"items": [{"metadata": {"name": "HOST", "labels": 7}, "spec": {"taints": [{}]}}]}',
    b'{"items": [{"metadata": {"name": "HOST"}, "rules": [7], "roleRef": {}, "subjects": [{}], "spec": []}]}',
    b'{"items": [{"metadata": {"name": "HOST", "ownerReferences": [7]}, "status": {"conditions": []}}]}',
    b'{"items": [{"metadata": {"name": "HOST"}}], "metadata": {"continue": "x"}}', b'{"metadata": {"continue": "x"}}',
    b'{"members": [{"ID": 1, "name": "HOST", "peerURLs": ["https://["]}]}', b'{"members": [{"ID": 1, "name": [7]}]}',
    b'[{"endpoint": "https://[", "health": true}]', b'[{"endpoint": "https://a:x", "health": 7}]',
]  # fmt: skip
_BINDING = Drifted("x", "api", "bindings", "n/b")
ASKED: dict[str, Callable[[Api], Any]] = {
    "nodes": lambda api: api.nodes.readiness(),
    "pods": lambda api: api.pods.states("default"),
    "plain pods": lambda api: api.pods.objects("default"),
    "a kubelet's settings": lambda api: api.nodes.kubelet_settings("n"),
    "requests for certificates": lambda api: api.approvals.waiting_requests(),
    "logs": lambda api: api.pods.logs("default", "p"),
    "a command": lambda api: api.pods.execute("default", "p", ["true"], 2),
    "a service": lambda api: api.pods.service_address("default", "s"),
}
OPERATIONS: dict[str, Callable[[LiveCluster, Host], Any]] = {
    "nodes": lambda cluster, host: cluster.nodes(),
    "made_with": lambda cluster, host: cluster.made_with(),
    "approve": lambda cluster, host: cluster.approve(),
    "policies": lambda cluster, host: cluster.policies(),
    "apply_policies": lambda cluster, host: cluster.apply_policies(),
    "evidence": lambda cluster, host: cluster.evidence(),
    "repair_drift": lambda cluster, host: cluster.repair_drift([_taint(host), _BINDING]),
    "drain": lambda cluster, host: cluster.drain(host, 0),
    "remove": lambda cluster, host: cluster.remove(host),
    "etcd": lambda cluster, host: cluster.etcd(),
}


def _taint(host: Host) -> Drifted:
    return Drifted("x", "api", "nodes", f"{host.name} taint k:NoSchedule", want="value x")


class WithControlPlane(LiveCluster):
    """A cluster with a control plane that counts as ready: no port 6443 is open in this test."""

    def live(self) -> list[str]:
        return [host.name for host in self._dc.members(self._name, "control_plane")]


@pytest.fixture
def data_center(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataCenter:
    monkeypatch.setenv("BMK_STATE_DIR", str(tmp_path / "state"))
    for name in ("dc.yml", "addresses.yml"):
        (tmp_path / name).write_text((INVENTORY / name).read_text())
    return load_datacenter(tmp_path / "dc.yml")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[[bytes], Path]]:
    """Serves one answer to whatever is asked; gives its kubeconfig."""
    said = [b""]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Length", str(len(said[0])))
            self.end_headers()
            self.wfile.write(said[0])

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - names of http.server

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        link = {"cluster": "c", "user": "u", "server": f"http://127.0.0.1:{http.server_port}"}
        parts = {f"{part}s": [{"name": "c" if part == "cluster" else "u" if part == "user" else "x", part: link}]
                 for part in ("cluster", "context", "user")}  # fmt: skip
        (tmp_path / "kubeconfig").write_text(json.dumps({"current-context": "x", **parts}))

        def serve(answer: bytes) -> Path:
            said[0] = answer
            return tmp_path / "kubeconfig"

        yield serve
        http.shutdown()


@pytest.mark.parametrize("asked", ASKED)
def test_whatever_is_answered_is_a_value_or_an_error_of_ours(server: Callable[[bytes], Path], asked: str) -> None:
    """No answer ends a command for other clusters and hosts, and an error says which cluster it was."""
    refused = [error for answer in ANSWERS if (error := tried(server(answer), asked))]
    assert all(error.where for error in refused)
    assert refused or asked == "logs", "logs are any text"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_whatever_is_answered_no_operation_of_a_cluster_raises_another_error(
    server: Callable[[bytes], Path], data_center: DataCenter, operation: str
) -> None:
    """What a cluster's API, or etcdctl on a control plane, answers is a value or an error of bmk for this cluster."""
    host = data_center.members("lab-ha", "control_plane")[1]
    values = []
    for answer in (one.replace(b"HOST", host.name.encode()) for one in ANSWERS):
        said = CommandResult(0, answer.decode(errors="replace"), "")
        access = ClusterAccess(server(answer), IMAGES, "standard", lambda host, command, said=said: said)
        cluster = WithControlPlane((data_center, Journal.open(data_center.state)), "lab-ha", access)
        with suppress(BmkError):
            values.append(OPERATIONS[operation](cluster, host))
    assert len(values) < len(ANSWERS), "some of them are no answers"


@pytest.mark.parametrize(
    ("pause", "header"),
    [(0, ("Transfer-Encoding", "chunked")), (0, ("Content-Length", str(1 << 40))), (0.05, ("Content-Length", "9999"))],
    ids=["without an end", "longer than any", "a byte now and then"],
)
def test_an_answer_that_goes_on_is_given_up(
    server: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch, pause: float, header: tuple[str, str]
) -> None:
    """An API server that never stops sending takes neither the memory nor the time of a run; the error says where."""
    kubeconfig = server(b"")
    monkeypatch.setattr(connection, "LONGEST_ANSWER", 1 << 20)
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header(*header)
            self.end_headers()
            piece = b" " if pause else b"4000\r\n" + b" " * 0x4000 + b"\r\n"
            with suppress(OSError):
                while not over.wait(pause):
                    self.wfile.write(piece)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as endless:
        threading.Thread(target=endless.serve_forever, daemon=True).start()
        stated = json.loads(kubeconfig.read_text())
        stated["clusters"][0]["cluster"]["server"] = f"http://127.0.0.1:{endless.server_port}"
        kubeconfig.write_text(json.dumps(stated))
        with pytest.raises(BmkError, match="Kubernetes API") as error, Api(kubeconfig, 1) as api:
            api.nodes.readiness()
        over.set()
        endless.shutdown()
    assert ("not whole after 1 s" if pause else "longer than 1 MiB") in error.value.why
    assert error.value.where == str(kubeconfig)


def test_etcd_without_a_leader_is_asked_again(server: Callable[[bytes], Path], data_center: DataCenter) -> None:
    """etcdctl prints errors and no list while etcd elects a leader: an error for which trying again helps."""
    said = CommandResult(1, "", '{"level":"warn"}\nError: context deadline exceeded\n')
    access = ClusterAccess(server(b""), IMAGES, "standard", lambda host, command: said)
    cluster = WithControlPlane((data_center, Journal.open(data_center.state)), "lab-ha", access)
    with pytest.raises(Unreachable, match="etcd") as error:
        cluster.etcd()
    assert "deadline exceeded" in error.value.why
    assert error.value.retryable


RAW = [
    b"",
    b"nothing of HTTP\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nno",
    b"HTTP/1.1 " + b"9" * 70_000 + b"\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: http://[\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: https://a:b/\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\nok",
]


@pytest.mark.parametrize("answer", RAW, ids=range(len(RAW)))
def test_whoever_answers_in_place_of_an_api_server_is_not_ready(tmp_path: Path, answer: bytes) -> None:
    """Asked without credentials, too: what is no HTTP counts as no answer, for this server alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path / "server.pem", "odd", ["127.0.0.1"]))

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError), context.wrap_socket(self.request, server_side=True) as channel:
                channel.recv(4096)
                channel.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = int(server.server_address[1])
        assert live_control_planes({"cp-1": "127.0.0.1"}, port) == []
        assert set(ask([f"127.0.0.1:{port}"])) in (set(), set(PATHS))
        server.shutdown()


def tried(kubeconfig: Path, asked: str) -> BmkError | None:
    with Api(kubeconfig, 5) as api:
        try:
            ASKED[asked](api)
        except BmkError as error:
            return error
    return None
