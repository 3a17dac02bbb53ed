"""A BMC that somebody took over: HTTPS on loopback, answers by script, and a record of all that reached it."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bmk.bmc.https import fingerprint_of
from bmk.lab.bmc.certificate import self_signed

ROOT = "/redfish/v1"
SYSTEM = f"{ROOT}/Systems/1"
SESSIONS = f"{ROOT}/SessionService/Sessions"


@dataclass
class Asked:
    """One request: how, for what, and with which proof of who asks."""

    method: str
    path: str
    proof: str
    body: bytes = b""


@dataclass
class Hostile:
    """`pages` maps "GET /path" (or "/path") to a document, to (status, headers, body), or to what writes an answer."""

    port: int
    certificate: Path
    pages: dict[str, Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(ssl.PEM_cert_to_DER_cert(_certificate_of(self.certificate.read_text())))

    def secrets(self) -> list[Asked]:
        """Requests that carried a password or a token."""
        return [a for a in self.asked if a.proof or b"Password" in a.body]


def _certificate_of(pem: str) -> str:
    return pem[pem.index("-----BEGIN CERTIFICATE") :]


def honest(server: Hostile) -> None:
    """The pages of a small BMC that does as it should, with sessions; tests spoil one of them."""
    server.pages.update({
        ROOT: {
            "Id": "Root", "Name": "Root", "RedfishVersion": "1.6.0",
            "Systems": {"@odata.id": f"{ROOT}/Systems"}, "Links": {"Sessions": {"@odata.id": SESSIONS}},
        },
        f"{ROOT}/Systems": {"Members": [{"@odata.id": SYSTEM}], "Name": "Systems"},
        SYSTEM: {
            "Id": "1", "Name": "System", "PowerState": "Off", "UUID": "6d2f6b1e-8f2f-4f6a-9c55-0b6d0a770001",
            "SerialNumber": "S1", "Manufacturer": "M", "Model": "X", "Boot": {},
            "Actions": {"#ComputerSystem.Reset": {"target": f"{SYSTEM}/Reset"}},
        },
        f"POST {SESSIONS}": (201, {"X-Auth-Token": "token-1", "Location": f"{SESSIONS}/1"}, b"{}"),
        f"DELETE {SESSIONS}/1": (204, {}, b""),
    })  # fmt: skip


@contextmanager
def serving(directory: Path, address: str = "127.0.0.1") -> Iterator[Hostile]:
    """A server with a certificate of its own on a free port of this address, with the pages of an honest BMC."""
    server = ThreadingHTTPServer((address, 0), BaseHTTPRequestHandler)
    server.daemon_threads = True
    here = Hostile(server.server_port, self_signed(directory / "server.pem", [address]))
    honest(here)
    server.RequestHandlerClass = _handler(here)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(here.certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # clients that hang up are what is tested
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield here
    server.shutdown()
    server.server_close()


def _handler(here: Hostile) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            self.close_connection = True
            if self.raw_requestline and self.parse_request():
                self._answer()
                self.wfile.flush()

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            proof = self.headers.get("Authorization") or self.headers.get("X-Auth-Token") or ""
            path = self.path.rstrip("/") or "/"
            here.asked.append(Asked(self.command, path, proof, body))
            page = here.pages.get(f"{self.command} {path}", here.pages.get(path))
            if callable(page):
                page(self)
                return
            status, headers, content = page if isinstance(page, tuple) else _document(page)
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None: ...

    return Handler


def _document(page: Any) -> tuple[int, dict[str, str], bytes]:
    return (404, {}, b"{}") if page is None else (200, {}, json.dumps(page).encode())


def slowly(text: bytes, seconds: float, pieces: int) -> Callable[[BaseHTTPRequestHandler], None]:
    """Write an answer byte by byte, with pauses; after so many pieces the rest comes at once."""

    def write(handler: BaseHTTPRequestHandler) -> None:
        for byte in text[:pieces]:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            threading.Event().wait(seconds)
        handler.wfile.write(text[pieces:])

    return write
