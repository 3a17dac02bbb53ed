"""uvicorn with the limits of the boot service. nginx stands in front of it and is its only client."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

BACKLOG = 4096  # connections that wait to be taken
MOST = 4096  # connections at once; more are answered 503
IDLE = 75.0  # seconds for which an idle connection is kept; nginx closes its own after 60
LEAVE = 5.0  # seconds that answers in progress have when the service ends


class _Server(uvicorn.Server):
    """Leaves signals to the service, which ends more than this server."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(app: Any, listen: str, stop: asyncio.Event) -> None:
    """Answer requests to `app` (ASGI) on `listen` (host:port, or unix:/path) until `stop` is set."""
    server = _Server(
        uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            limit_concurrency=MOST,
            timeout_keep_alive=int(IDLE),
            timeout_graceful_shutdown=int(LEAVE),
        )
    )
    listening = _listening(listen)
    _say_ready()
    serving = asyncio.get_running_loop().create_task(server.serve(sockets=[listening]))
    stopping = asyncio.get_running_loop().create_task(stop.wait())
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    server.should_exit = True
    await serving


def _listening(listen: str) -> socket.socket:
    if listen.startswith("unix:"):
        path = Path(listen.removeprefix("unix:"))
        path.unlink(missing_ok=True)
        made = socket.socket(socket.AF_UNIX)
        made.bind(str(path))
        path.chmod(0o660)  # nginx is of the same group
        made.listen(BACKLOG)
        return made
    host, _, port = listen.rpartition(":")
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((host, int(port)))
    made.listen(BACKLOG)
    return made


def _say_ready() -> None:
    """Tell systemd (sd_notify(3)): the unit is started when requests are accepted, not while nginx answers 502."""
    where = os.environ.pop("NOTIFY_SOCKET", "")
    if where:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.sendto(b"READY=1", "\0" + where[1:] if where.startswith("@") else where)
