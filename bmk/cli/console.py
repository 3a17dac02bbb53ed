"""`bmk console`: a machine's serial console, through its BMC."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import click

from bmk.cli.options import dc_argument, host_argument
from bmk.cli.output import say


@click.command(name="console")
@dc_argument
@host_argument
@click.option("--seconds", type=float, help="Stop after this time; otherwise Ctrl-C does.")
def command(dc: str, host: str, seconds: float | None) -> None:
    """Show what HOST says on its serial console from now on. It is kept in a file too, where `bmk why` finds it."""
    from bmk.datacenter.select import host_named
    from bmk.paths import state_dir
    from bmk.phases.site import open_site

    site = open_site(dc)
    chosen = host_named(site.dc, host)
    log = state_dir(site.dc.name) / "console" / f"{host}.log"
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    log.touch(mode=0o600)
    say(f"console of {host}, kept in {log}; Ctrl-C ends")
    bmc, stop = site.world.bmc(chosen), threading.Event()
    failed: list[Exception] = []
    thread = threading.Thread(target=_record, args=(bmc, log, stop, failed), daemon=True)
    position = log.stat().st_size
    thread.start()
    try:
        _show(log, position, thread, seconds)
    finally:
        stop.set()
        thread.join(5)
    if failed:
        raise failed[0]


def _record(bmc, log: Path, stop: threading.Event, failed: list[Exception]) -> None:  # type: ignore[no-untyped-def]
    try:
        bmc.console(log, stop.is_set)
    except Exception as error:  # told by the main thread
        failed.append(error)


def _show(log: Path, position: int, thread: threading.Thread, seconds: float | None) -> None:
    """Copy what is added to the log to stdout."""
    end = time.monotonic() + seconds if seconds else None
    with log.open("rb") as file:
        file.seek(position)
        while thread.is_alive() and (end is None or time.monotonic() < end):
            text = file.read()
            sys.stdout.buffer.write(text)
            sys.stdout.flush()
            if not text:
                time.sleep(0.1)
