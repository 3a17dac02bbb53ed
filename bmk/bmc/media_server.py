"""Serves virtual media to BMCs, from memory, for as long as they are inserted.

A thread of the process that inserted them, and not the boot server: no nonce lies on a disk for it, nothing outlives a
crash, and it listens only where the BMC is reached from. BMCs read a medium piece by piece for as long as it is
inserted, so a URL holds until it is withdrawn; it is unguessable, and only its BMC's address is answered.
"""

from __future__ import annotations

import re
import secrets
import socket
import threading
from collections import Counter
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any, cast

from bmk.errors import BmcError

NAME = "bmk-nonce.iso"  # by which a medium of ours is known again
CONNECTIONS = 8  # of one BMC at a time
SILENCE = 30  # seconds after which an idle connection is closed
_RANGE = re.compile(r"bytes=(\d{1,12})-(\d{0,12})")


@dataclass(frozen=True, slots=True)
class _Medium:
    reader: str  # the BMC's address, as the data center file says it
    client: str  # the same, as a connection shows it
    image: bytes


class MediaServers:
    """One server for each of this machine's addresses that BMCs are reached from; started when first needed."""

    def __init__(self) -> None:
        self._servers: dict[str, _Server] = {}
        self._lock = threading.Lock()

    def offer(self, reader: str, image: bytes) -> str:
        """The URL of an image for the BMC at the address `reader`, until it is withdrawn."""
        local, number = _way_to(reader)
        server, path = self._server(local), f"/{secrets.token_urlsafe(24)}/{NAME}"
        server.media[path] = _Medium(reader, number, image)
        host = f"[{local}]" if ":" in local else local
        return f"http://{host}:{server.server_address[1]}{path}"

    def withdraw(self, reader: str) -> None:
        """Serve nothing more to this BMC."""
        with self._lock:
            for server in self._servers.values():
                for path in [path for path, medium in list(server.media.items()) if medium.reader == reader]:
                    server.media.pop(path, None)

    def _server(self, local: str) -> _Server:
        with self._lock:
            if local not in self._servers:
                self._servers[local] = _Server(local)
                threading.Thread(target=self._servers[local].serve_forever, name="media", daemon=True).start()
            return self._servers[local]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # a whole hall is powered on at once

    def __init__(self, local: str) -> None:
        self.address_family = socket.AF_INET6 if ":" in local else socket.AF_INET
        self.media: dict[str, _Medium] = {}
        self._open: Counter[str] = Counter()
        self._counting = threading.Lock()
        super().__init__((local, 0), _Handler)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - its base class says so
        """Only BMCs that have a medium here, and no flood of one of them. Runs before there is a thread."""
        client = client_address[0]
        with self._counting:
            if self._open[client] >= CONNECTIONS or all(m.client != client for m in list(self.media.values())):
                return False
            self._open[client] += 1
            return True

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._counting:
                self._open[client_address[0]] -= 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A BMC that hangs up half way is nothing to tell of."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version, server_version, sys_version = "HTTP/1.1", "bmk", ""
    timeout = SILENCE

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        medium = cast(_Server, self.server).media.get(self.path)
        if medium is None or medium.client != self.client_address[0]:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        first, last, whole = part_of(self.headers.get("Range", ""), len(medium.image))
        self.send_response(HTTPStatus.OK if whole else HTTPStatus.PARTIAL_CONTENT)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(last - first))
        self.send_header("Accept-Ranges", "bytes")
        if not whole:
            self.send_header("Content-Range", f"bytes {first}-{last - 1}/{len(medium.image)}")
        self.end_headers()
        if body:
            self.wfile.write(medium.image[first:last])

    def log_message(self, *_: Any) -> None:
        """Paths are secrets."""


def part_of(asked: str, size: int) -> tuple[int, int, bool]:
    """First byte, the one after the last, and whether that is all. What is no part is answered with all. Pure."""
    found = _RANGE.fullmatch(asked.strip())
    if found is None:
        return 0, size, True
    first, last = int(found[1]), min(int(found[2] or size - 1), size - 1)
    return (first, last + 1, False) if first <= last else (0, size, True)


def _way_to(reader: str) -> tuple[str, str]:
    """Our address on the way to a BMC, and the BMC's in numbers. Sends nothing."""
    try:
        family, _, _, _, target = socket.getaddrinfo(reader, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as way:
            way.connect(target)
            return str(way.getsockname()[0]), str(ip_address(target[0]))
    except OSError as error:
        raise BmcError(
            "there is no way from here to the BMC", where=reader, why=str(error), hint=f"ip route get {reader}"
        ) from None
