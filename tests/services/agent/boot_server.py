"""A real HTTP server with the agent's four routes and an image, which can misbehave in the ways that networks do."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bmk.agent.proof import HEADER, ProofKey

RAW = "b" * 64  # what images without a frame are said to unpack to


class BootServer:
    """Serves one grant. `cut_after`: bytes of the image after which a connection is closed, once per entry."""

    def __init__(self, image: Path, spec: dict[str, Any], address: str = "127.0.0.1") -> None:
        self.image, self.spec = image, spec
        self.cut_after: list[int] = []
        self.dead_after: int | None = None  # bytes of the image after which nothing is answered any more
        self.refuse_claim = ""
        self.key: ProofKey | None = None  # answers are proven with it, and requests have to be
        self.not_yet = 0  # claims that are answered "ask again"
        self.change: Callable[[bytes], bytes] = lambda body: body  # what a man in the middle makes of a proven answer
        self.token = ""  # of the newest claim
        self.said: dict[str, Any] = {}
        self.events: list[dict[str, Any]] = []
        self.ended = threading.Event()
        self.starving = threading.Event()  # somebody asked for more than `dead_after`
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                server.post(self)

            def do_GET(self) -> None:
                server.get(self)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._http = ThreadingHTTPServer((address, 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()
        self.port = self._http.server_address[1]

    def url(self, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def post(self, request: Any) -> None:
        text = request.rfile.read(int(request.headers["Content-Length"]))
        body, route, proof = json.loads(text), request.path.rsplit("/", 1)[1], request.headers.get(HEADER, "")
        if route == "claim" and self.not_yet:
            self.not_yet -= 1
            return _answer(request, 503, {})
        if self.key and proof != self.key.request(route, text):
            return _answer(request, 403, {"reason": "unproven"})
        if route == "claim" and self.refuse_claim:
            return _answer(request, 403, {"reason": self.refuse_claim, "hint": "bmk plan"})
        if route == "claim":
            self.token = body["token"]
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return _answer(request, 403, {"reason": "no token"})
        if route == "events":
            self.events += body
        self.said[route] = body
        self._accept(request, route, proof, self.spec if route == "claim" else {})
        if route in ("done", "failed"):
            self.ended.set()
        return None

    def _accept(self, request: Any, route: str, proof: str, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        proven = {HEADER: self.key.answer(route, proof, data)} if self.key else {}
        _send(request, 200, self.change(data), proven)

    def get(self, request: Any) -> None:
        size = self.image.stat().st_size
        start = int(request.headers.get("Range", "bytes=0-")[6:-1])
        end = self._end(start, size)
        if end is None:
            self.starving.set()
            return request.connection.close()
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(size - start))
        request.end_headers()
        with self.image.open("rb") as file:
            file.seek(start)
            while start < end and (block := file.read(min(1 << 16, end - start))):
                request.wfile.write(block)
                start += len(block)
        if end < size:
            request.close_connection = True
        return None

    def _end(self, start: int, size: int) -> int | None:
        if self.dead_after is not None:
            return None if start >= self.dead_after else min(self.dead_after, size)
        return min(start + self.cut_after.pop(0), size) if self.cut_after else size


def _answer(request: Any, status: int, body: dict[str, Any]) -> None:
    _send(request, status, json.dumps(body).encode(), {})


def _send(request: Any, status: int, data: bytes, headers: dict[str, str]) -> None:
    request.send_response(status)
    request.send_header("Content-Length", str(len(data)))
    for name, value in headers.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(data)


def spec_for(image: Path, url: str, **changes: Any) -> dict[str, Any]:
    """A claim's spec as the boot service writes it."""
    with image.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    size = image.stat().st_size
    network = {"address": "10.0.2.15", "prefix": 24, "gateway": "10.0.2.2", "dns": ["10.0.2.3"], "ntp": [], "mtu": 1500}
    return {
        "host": "node-1", "hostname": "node-1", "disk": {"serial": "DISK-1"}, "confirmed": None,
        "network": {**network, "nics": [{"mac": "52:54:00:00:00:01", "name": "lan0"}]},
        "image": {"url": f"{url}/install/g/image.zst", "sha256": digest, "raw_sha256": RAW, "size": size},
        "authorized_keys": [], "next": "reboot", "dc": "par", **changes,
    }  # fmt: skip
