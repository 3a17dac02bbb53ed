"""Writes to an API need a permit, whichever method of the client sends them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bmk.cluster.api import Api
from bmk.errors import Revoked
from bmk.permit import permitted

NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}
REQUEST = {
    "apiVersion": "certificates.k8s.io/v1",
    "kind": "CertificateSigningRequest",
    "metadata": {"name": "n"},
    "spec": {"request": "", "signerName": "x/y"},
    "status": {},
}
SPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
WRITES: dict[str, Callable[[Api], object]] = {
    "patch": lambda api: api.nodes.patch("n", {}),
    "delete binding": lambda api: api.policies.delete_binding("n"),
    "approve": lambda api: api.approvals.approve("n", "x", "y"),
    "create": lambda api: api.create(SPACE),
    "apply": lambda api: api.apply(SPACE),
    "delete policy": lambda api: api.policies.delete("ValidatingAdmissionPolicy", "n"),
    "delete namespace": lambda api: api.pods.delete_namespace("n", 0),
}


class Server(ThreadingHTTPServer):
    """Answers every question with one object, and knows what was asked."""

    methods: list[str]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        self.server.methods.append(self.command)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps(REQUEST if "certificates" in self.path else NODE).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.methods = []
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def api(server: Server, tmp_path: Path) -> Iterator[Api]:
    link = {"cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", **link}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    with Api(path) as api:
        yield api


@pytest.mark.parametrize("what", list(WRITES))
def test_a_cancelled_call_writes_nothing_to_an_api(server: Server, api: Api, what: str) -> None:
    """It may read; a request that changes something is refused before it is sent."""
    with permitted() as permit:
        permit.revoke()
        with pytest.raises(Revoked):
            WRITES[what](api)
    assert set(server.methods) <= {"GET"}


def test_a_call_that_is_wanted_writes(server: Server, api: Api) -> None:
    """With a permit, and without one where there is no run, requests reach the API."""
    with permitted():
        api.nodes.patch("n", {})
    api.nodes.patch("n", {})
    assert server.methods == ["PATCH", "PATCH"]
