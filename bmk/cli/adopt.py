"""`bmk adopt`: let a copy of a data center's file take over its state."""

from __future__ import annotations

import click

from bmk.cli.options import dc_argument
from bmk.cli.output import say


@click.command(name="adopt", epilog="Example: bmk adopt ./inventories/par")
@dc_argument
def command(dc: str) -> None:
    """Let this file take over the state (journal, keys, machines of a lab) that another checkout's file has.

    Two files of one name are refused as long as both are there. A file that was only moved needs no adoption.
    """
    from bmk.datacenter.load import load_datacenter
    from bmk.datacenter.state import adopt, open_journal
    from bmk.engine.lock import RunLock
    from bmk.engine.session import new_run_id

    loaded = load_datacenter(dc)
    with RunLock(open_journal(loaded), new_run_id()):
        before = adopt(loaded)
    was = f", before of {before}" if before is not None and before != loaded.source.resolve() else ""
    say(f"{loaded.state} is the state of {loaded.source.resolve()}{was}")
