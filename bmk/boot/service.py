"""The boot service: one process per data center that answers what a machine may boot, behind nginx.

python -m bmk.boot.service --dc NAME --listen 127.0.0.1:8081
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from bmk.boot import agent_routes, grants, http, routes
from bmk.boot.desk import Desk
from bmk.boot.http import Reply, Request
from bmk.boot.recorder import Recorder
from bmk.boot.watch import watch
from bmk.datacenter.resolve import DataCenter
from bmk.errors import BmkError
from bmk.journal import Event, Journal
from bmk.paths import state_dir

_ROUTES: dict[tuple[str, str], Callable[[Desk, Request], Awaitable[Reply]]] = {
    ("GET", "/boot/ipxe"): routes.boot,
    ("GET", "/authorize"): routes.authorize,
    ("GET", "/healthz"): routes.healthz,
}
_AGENT: dict[str, Callable[[Desk, Request, str], Awaitable[Reply]]] = {
    "claim": agent_routes.claim,
    "events": agent_routes.events,
    "done": agent_routes.done,
    "failed": agent_routes.failed,
}
_AGENT_PATH = re.compile(r"/agent/(?P<grant>[0-9A-Za-z_-]{1,64})/(?P<verb>[a-z]+)")


async def answer(desk: Desk, request: Request) -> Reply:
    """The reply to one request. Something wrong with us: 500 without details, which machines take as "local disk"."""
    try:
        if handler := _ROUTES.get((request.method, request.path)):
            return await handler(desk, request)
        found = _AGENT_PATH.fullmatch(request.path)
        if request.method == "POST" and found and found["verb"] in _AGENT:
            return await _AGENT[found["verb"]](desk, request, found["grant"])
    except Exception as error:
        sys.stderr.write(f"bmk: {request.method} {request.path}: {type(error).__name__}: {error}\n")
        return Reply(500, b"the boot service failed; see its log\n")
    return Reply(404, b"there is no such route\n")


async def run(desk: Desk, listen: str, reload: Callable[[], DataCenter]) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP, or a change of the data center's files, loads them again."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await desk.recorder.run(lambda journal: grants.expire(journal, desk.now()))
    await desk.recorder.tell(Event("bmk", "boot.started", f"the boot service of {desk.dc.name} listens on {listen}"))
    watcher = loop.create_task(watch(desk, reload))
    await http.serve(partial(answer, desk), listen, stop)
    watcher.cancel()
    await asyncio.gather(watcher, return_exceptions=True)
    desk.recorder.close()


def main(arguments: list[str] | None = None) -> int:
    """Command line entry; returns the exit status."""
    from bmk.datacenter.load import load_datacenter  # noqa: PLC0415 - pulls in the whole model

    options = _options(arguments)
    try:
        dc = load_datacenter(options.dc)
        state = options.state or state_dir(dc.name)
        journal = state / "journal.db"
        desk = Desk(dc, state, Journal(journal), Recorder(Journal(journal)))
        asyncio.run(run(desk, options.listen, lambda: load_datacenter(options.dc)))
    except BmkError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bmk.boot.service", description=__doc__)
    parser.add_argument("--dc", required=True, help="name below inventories/, or path of a data center file")
    parser.add_argument("--listen", default="127.0.0.1:8081", help="host:port, or unix:/path")
    parser.add_argument("--state", type=Path, help="state directory, when it is not the usual one")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
