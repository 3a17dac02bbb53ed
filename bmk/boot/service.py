"""The boot service: one process per data center that answers what a machine may boot, behind nginx.

python -m bmk.boot.service --dc NAME --listen 127.0.0.1:8081
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import uvloop

from bmk.boot import grants, http
from bmk.boot.app import application
from bmk.boot.journal_writer import JournalWriter
from bmk.boot.request_context import RequestContext
from bmk.boot.supervise import TaskSupervisor
from bmk.boot.watch import tasks
from bmk.datacenter.resolve import DataCenter
from bmk.datacenter.state import open_journal
from bmk.errors import BmkError
from bmk.journal import Event


async def run(context: RequestContext, listen: str, reload: Callable[[], DataCenter]) -> None:
    """Serve until SIGTERM or SIGINT. A change of the data center's files loads them again."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await context.writer.run(lambda journal: grants.expire(journal, context.now()))
    await context.writer.tell(
        Event("bmk", "boot.started", f"the boot service of {context.dc.name} listens on {listen}")
    )
    supervisor = TaskSupervisor(context.writer, context.now)
    beside = loop.create_task(supervisor.run(tasks(context, reload)))
    await http.serve(application(context), listen, stop)
    beside.cancel()
    await asyncio.gather(beside, return_exceptions=True)
    await supervisor.close()
    context.writer.close()


def main(arguments: list[str] | None = None) -> int:
    """Command line entry; returns the exit status."""
    from bmk.datacenter.load import load_datacenter  # noqa: PLC0415 - pulls in the whole model

    options = _options(arguments)

    def load() -> DataCenter:
        dc = load_datacenter(options.dc)
        return replace(dc, state=options.state or dc.state)

    try:
        dc = load()
        context = RequestContext(dc, dc.state, open_journal(dc), JournalWriter(open_journal(dc)))
        gc.freeze()  # the data center stays loaded; scanning it in each collection is a third of an answer
        uvloop.run(run(context, options.listen, load))
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
