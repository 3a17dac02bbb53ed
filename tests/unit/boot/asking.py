"""One request to the boot service as nginx passes it on, without a socket: straight to the ASGI application."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from bmk.boot.app import application
from bmk.boot.request_context import RequestContext


@dataclass(frozen=True)
class Answer:
    """Header names are lower case."""

    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def send(context: RequestContext, method: str, target: str, headers: dict[str, str], body: bytes = b"") -> Answer:
    """Any request at all."""
    where, sent, heard = urlsplit(target), [body], []
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": where.path,
        "raw_path": where.path.encode(),
        "query_string": where.query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": sent.pop(), "more_body": False} if sent else {"type": "http.disconnect"}

    async def take(message: Any) -> None:
        heard.append(message)

    asyncio.run(application(context)(scope, receive, take))
    found = {name.decode(): value.decode() for name, value in heard[0]["headers"]}
    return Answer(heard[0]["status"], b"".join(part.get("body", b"") for part in heard[1:]), found)


def ask(
    context: RequestContext, target: str, *, client: str = "10.20.0.11", body: Any = None, token: str = ""
) -> Answer:
    """As a machine at address `client` asks; POST when there is a body."""
    headers = {"x-real-ip": client, "authorization": f"Bearer {token}"}
    method, content = ("GET", b"") if body is None else ("POST", json.dumps(body).encode())
    if target.startswith("/install/"):
        headers["x-original-uri"], target = target, "/authorize"
    return send(context, method, target, headers, content)
