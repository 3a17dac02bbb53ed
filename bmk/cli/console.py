"""`bmk console`: the output of a machine's serial console."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bmk.cli.options import AmountRange, dc_argument, host_argument
from bmk.cli.output import say
from bmk.paths import private_dir
from bmk.terminal import console_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from bmk.bmc import Bmc
    from bmk.datacenter.resolve import DataCenter, Host

_BEFORE = 8192  # bytes of earlier output that are shown first


@click.command(name="console", epilog="Example: bmk console lab cp-1 --follow")
@dc_argument
@host_argument
@click.option(
    "--follow/--no-follow", default=None, help="Go on with what comes, until Ctrl-C; the default on a terminal."
)
@click.option("--all", "everything", is_flag=True, help="All that was kept, not only the newest part.")
@click.option("--seconds", type=AmountRange(min=0), help="Stop following after this time.")
def command(dc: str, host: str, follow: bool | None, everything: bool, seconds: float | None) -> None:
    """Show what HOST says on its serial console.

    A lab keeps the consoles of its machines (to type there too: bmk lab console). That of a real machine is read from
    its BMC while this runs, and kept where bmk why finds it.
    """
    from bmk.datacenter.hosts import host_named
    from bmk.datacenter.load import load_datacenter
    from bmk.errors import PreflightRefused
    from bmk.journal import serial

    loaded = load_datacenter(dc)
    chosen = host_named(loaded, host)
    follow = (sys.stdout.isatty() or seconds is not None) if follow is None else follow
    log = serial.found(loaded.state, host)
    if chosen.profile.lab is None and follow:
        _listen(loaded, chosen, everything, seconds)
    elif log is None and chosen.profile.lab is None:
        raise PreflightRefused(f"nobody has listened to {host} yet", hint=f"bmk console {dc} {host} --follow")
    elif log is None:
        raise PreflightRefused(f"{host} was never switched on", hint=f"bmk provision {dc}, or bmk power on {dc} {host}")
    else:
        _show(log, _start(log, everything), _for(seconds) if follow else lambda: False)


def _listen(dc: DataCenter, host: Host, everything: bool, seconds: float | None) -> None:
    """Read a real machine's console from its BMC into the file, and show the file."""
    from bmk.journal import serial
    from bmk.live.workspace import enter

    workspace = enter(dc)
    log = serial.kept(dc.state, host.name)
    private_dir(log.parent)
    log.touch(mode=0o600)
    say(f"console of {host.name}, kept in {log}; Ctrl-C ends")
    stop, failed, go_on = threading.Event(), list[Exception](), _for(seconds)
    reader = threading.Thread(target=_record, args=(workspace.services.bmc(host), log, stop, failed), daemon=True)
    reader.start()
    try:
        _show(log, _start(log, everything), lambda: reader.is_alive() and go_on())
    finally:
        stop.set()
        reader.join(5)
    if failed:
        raise failed[0]


def _record(bmc: Bmc, log: Path, stop: threading.Event, failed: list[Exception]) -> None:
    from bmk.bmc import conversation

    try:
        with conversation(bmc):
            bmc.console(log, stop.is_set)
    except Exception as error:  # reported by the main thread
        failed.append(error)


def _for(seconds: float | None) -> Callable[[], bool]:
    end = None if seconds is None else time.monotonic() + seconds
    return lambda: end is None or time.monotonic() < end


def _start(log: Path, everything: bool) -> int:
    return 0 if everything else max(0, log.stat().st_size - _BEFORE)


def _show(log: Path, position: int, go_on: Callable[[], bool]) -> None:
    """Copy the log to stdout, then what is appended to it, until Ctrl-C. A truncated log is read from its start."""
    with suppress(KeyboardInterrupt):  # the way to stop it: no failure
        while True:
            position = _copy(log, position)
            if not go_on():
                return
            time.sleep(0.1)


def _copy(log: Path, position: int) -> int:
    with log.open("rb") as file:
        file.seek(position if position <= log.stat().st_size else 0)
        sys.stdout.write(console_text(file.read()))
        sys.stdout.flush()
        return file.tell()
