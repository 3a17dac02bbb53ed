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
from bmk.cluster.api import Api
from bmk.errors import BmkError
from bmk.secrets.certificate import self_signed

pytestmark = pytest.mark.services
ANSWERS = [
    b"", b"<html>", b"\xff\xfe", b"null", b"[]", b"7", b"{}", b'{"items": null}', b'{"items": 7}', b'{"items": [7]}',
    b'{"items": [{}]}', b'{"items": [{"metadata": {"name": "n"}, "status": 7}]}', b'{"kubeletconfig": 7}',
    b'{"items": [{"metadata": {"name": "n"}, "status": {"conditions": [7]}}]}', b"[" * 5000,
]  # fmt: skip
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


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[[bytes], Path]]:
    """Serves one answer to whatever is asked; gives its kubeconfig."""
    said = [b""]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(said[0])))
            self.end_headers()
            self.wfile.write(said[0])

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
