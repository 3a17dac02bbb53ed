"""A small HTTP/1.1 server on asyncio for the boot service. Parsing is llhttp's; nginx stands in front of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import cast
from urllib.parse import parse_qsl, urlsplit

import httptools

MAX_BODY = 1 << 20
_MAX_HEADERS = 64


@dataclass(slots=True)
class Request:
    """One request. Header names are lower case; `body` is complete."""

    method: str = ""
    target: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def client(self) -> str:
        """Address of the machine that asks: nginx is the only one who may say so, and the only one who can connect."""
        return self.headers.get("x-real-ip", "")

    @property
    def bearer(self) -> str:
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes = b""
    kind: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self, keep: bool) -> bytes:
        """The bytes on the wire. A line break in a header's value cannot end the header."""
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}", f"Content-Length: {len(self.body)}"]
        if self.body:
            lines.append(f"Content-Type: {self.kind}")
        lines += [f"{name}: {' '.join(value.split())}" for name, value in self.headers.items()]
        lines += [] if keep else ["Connection: close"]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace") + self.body


Handler = Callable[[Request], Awaitable[Reply]]


class Connection(asyncio.Protocol):
    """One connection: requests are answered one after the other, in order."""

    def __init__(self, handler: Handler, open_connections: set[Connection]) -> None:
        self._handler, self._open = handler, open_connections
        self._parser = httptools.HttpRequestParser(self)
        self._request, self._size = Request(), 0
        self._waiting: list[tuple[Request, bool]] = []
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._open.discard(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(400)

    def on_message_begin(self) -> None:
        self._request, self._size = Request(), 0

    def on_url(self, url: bytes) -> None:
        self._request.target += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self._request.headers) < _MAX_HEADERS:
            self._request.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > MAX_BODY:
            self._refuse(413)
        else:
            self._request.body += body

    def on_message_complete(self) -> None:
        self._request.method = self._parser.get_method().decode("latin-1")
        self._waiting.append((self._request, self._parser.should_keep_alive()))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._answer())

    def close(self) -> None:
        """End an idle connection; one that is being answered ends after its answer."""
        if self._task is None:
            self._transport.close()

    async def _answer(self) -> None:
        while self._waiting and not self._transport.is_closing():
            request, keep = self._waiting.pop(0)
            reply = await self._handler(request)
            self._transport.write(reply.encode(keep))
            if not keep:
                self._transport.close()
        self._task = None

    def _refuse(self, status: int) -> None:
        if not self._transport.is_closing():
            self._transport.write(Reply(status).encode(keep=False))
            self._transport.close()


async def serve(handler: Handler, listen: str, stop: asyncio.Event) -> None:
    """Answer requests on `listen` (host:port, or unix:/path) until `stop` is set."""
    loop, connections = asyncio.get_running_loop(), set[Connection]()
    server = await _listen(loop, lambda: Connection(handler, connections), listen)
    async with server:
        await stop.wait()
        server.close()
        for connection in list(connections):
            connection.close()


async def _listen(loop: asyncio.AbstractEventLoop, factory: Callable[[], Connection], listen: str) -> asyncio.Server:
    if listen.startswith("unix:"):
        path = Path(listen.removeprefix("unix:"))
        path.unlink(missing_ok=True)
        server = await loop.create_unix_server(factory, path, backlog=4096)
        path.chmod(0o660)  # nginx is of the same group
        return server
    host, _, port = listen.rpartition(":")
    return await loop.create_server(factory, host, int(port), backlog=4096, family=socket.AF_INET)
