"""The boot service as an ASGI application: every request is bounded in size and time and read by a model."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from bmk.agent.proof import HEADER
from bmk.boot import agent_routes, routes
from bmk.boot.attestation import Sent
from bmk.boot.reply import Reply
from bmk.boot.request_context import RequestContext
from bmk.boot.request_models import BootQuestion, Challenge, Claim, Client, Done, Events, FailureReport, FileQuestion
from bmk.boot.tpm.challenge import challenge

MOST_BYTES = 1 << 20  # of a body
DEADLINE = 45.0  # seconds for a request; a journal that others write to is waited for, for as long as nginx waits
_FAILED = Reply(500, b"the boot service failed; see its log\n")  # machines take that as "local disk"

Answer = Callable[[RequestContext, Request], Awaitable[Reply]]


class _TooLarge(Exception):
    """The body is longer than any honest one."""


def application(context: RequestContext) -> Router:
    """All routes of the boot service. A bare router: errors that Starlette's middleware would catch are caught here."""
    agent: dict[str, tuple[Callable[..., Awaitable[Reply]], type[BaseModel] | TypeAdapter[Any]]] = {
        "claim": (agent_routes.claim, Claim),
        "events": (agent_routes.events, Events),
        "done": (agent_routes.done, Done),
        "failed": (agent_routes.failed, FailureReport),
    }
    table = [
        _route(context, "/boot/ipxe", _boot),
        _route(context, "/authorize", _authorize),
        _route(context, "/healthz", lambda context, _: routes.healthz(context)),
    ]
    table.append(_route(context, "/agent/{grant}/challenge", _challenge, "POST"))
    for verb, (handler, model) in agent.items():
        table.append(_route(context, f"/agent/{{grant}}/{verb}", _agent(verb, handler, model), "POST"))
    return Router(table)


async def _boot(context: RequestContext, request: Request) -> Reply:
    query = request.scope["query_string"].decode("latin-1")
    return await routes.boot(context, _client(request), BootQuestion.model_validate(dict(parse_qsl(query))))


async def _authorize(context: RequestContext, request: Request) -> Reply:
    return await routes.authorize(
        context, _client(request), FileQuestion.read(request.headers.get("x-original-uri", ""))
    )


async def _challenge(context: RequestContext, request: Request) -> Reply:
    """The one question of a ramdisk that it cannot prove: its answer is what the proof is made of."""
    grant = request.path_params["grant"][:64]
    try:
        said = Challenge.validate_json(await _body(request))
    except ValidationError:
        said = None
    return await challenge(context, _client(request), grant, said)


def _agent(verb: str, handler: Callable[..., Awaitable[Reply]], model: type[BaseModel] | TypeAdapter[Any]) -> Answer:
    """A route of the ramdisk. What cannot be read reaches its handler as None: first comes who asks."""
    read = model.validate_json if isinstance(model, TypeAdapter) else model.model_validate_json

    async def answer(context: RequestContext, request: Request) -> Reply:
        sent = Sent(verb, await _body(request), request.headers.get(HEADER, ""))
        client, grant = _client(request), request.path_params["grant"][:64]

        async def handle() -> Reply:
            try:
                said = read(sent.body)
            except ValidationError:
                said = None
            return await handler(context, client, grant, said)

        return await agent_routes.admit(context, client, grant, sent, handle)

    return answer


def _client(request: Request) -> Client:
    """nginx is the only one who may say which address asks, and the only one who can connect."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return Client(request.headers.get("x-real-ip", ""), token.strip() if scheme.lower() == "bearer" else "")


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise _TooLarge
        parts.append(part)
    return b"".join(parts)


def _route(context: RequestContext, path: str, answer: Answer, method: str = "GET") -> Route:
    return Route(path, _Endpoint(context, answer), methods=[method])


class _Endpoint:
    """An ASGI application of one route."""

    def __init__(self, context: RequestContext, answer: Answer) -> None:
        self._context, self._answer = context, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reply = await _guarded(self._context, Request(scope, receive, send), self._answer)
        kind = reply.kind if reply.body else None
        await Response(reply.body, reply.status, dict(reply.headers), kind)(scope, receive, send)


async def _guarded(context: RequestContext, request: Request, answer: Answer) -> Reply:
    """Something wrong with us: an answer without details, and a line in the log. It never ends the service."""
    try:
        async with asyncio.timeout(DEADLINE):
            return await answer(context, request)
    except _TooLarge:
        return Reply(413)
    except ClientDisconnect:
        return Reply(400)
    except Exception as error:
        sys.stderr.write(f"bmk: {request.method} {request.url.path}: {type(error).__name__}: {error}\n")
        return _FAILED
