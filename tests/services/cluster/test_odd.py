"""An API, or a kubelet behind it, that answers anything: an error of bmk's own, never another one."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bmk.cluster.api import Api
from bmk.errors import BmkError

pytestmark = pytest.mark.services
ANSWERS = [
    b"", b"<html>", b"\xff\xfe", b"null", b"[]", b"7", b"{}", b'{"items": null}', b'{"items": 7}', b'{"items": [7]}',
    b'{"items": [{}]}', b'{"items": [{"metadata": {"name": "n"}, "status": 7}]}', b'{"kubeletconfig": 7}',
    b'{"items": [{"metadata": {"name": "n"}, "status": {"conditions": [7]}}]}', b"[" * 5000,
]  # fmt: skip
ASKED: dict[str, Callable[[Api], Any]] = {
    "nodes": lambda api: api.nodes(),
    "pods": lambda api: api.pods("default"),
    "plain pods": lambda api: api.plain_pods("default"),
    "a kubelet's settings": lambda api: api.kubelet_settings("n"),
    "requests for certificates": lambda api: api.waiting_requests(),
    "logs": lambda api: api.logs("default", "p"),
    "a command": lambda api: api.execute("default", "p", ["true"], 2),
    "a service": lambda api: api.service_address("default", "s"),
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


def tried(kubeconfig: Path, asked: str) -> BmkError | None:
    with Api(kubeconfig, 5) as api:
        try:
            ASKED[asked](api)
        except BmkError as error:
            return error
    return None
