"""`bmk approve`: certificates of nodes, approved against the inventory for as long as it runs."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING

import click

from bmk.cli.options import AmountRange, dc_argument
from bmk.cli.output import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bmk.errors import BmkError
    from bmk.journal import Event


@click.command(name="approve", epilog="Example: bmk approve par --once")
@dc_argument
@click.option("--once", is_flag=True, help="Look once at every cluster, and end.")
@click.option("--every", type=AmountRange(min=1), default=5.0, show_default=True, help="Seconds between two looks.")
def command(dc: str, once: bool, every: float) -> None:
    """Approve certificates of the nodes of DC that the data center file confirms, and nothing else, until it is ended.

    Kubelets renew their serving certificates months after the last provision, and Kubernetes approves none by itself.
    The boot server runs this as the unit bmk-approver. What is refused is told once and kept in the journal; an API
    that is away is asked again. Exit code with --once: 5 when no API answered, 4 when some did not.
    """
    from bmk.live.workspace import open_workspace
    from bmk.phases.csr_approval import Watcher

    workspace = open_workspace(dc)
    clusters = {name: workspace.services.cluster(name) for name in workspace.dc.spec.clusters}

    def emit(event: Event) -> None:
        workspace.journal.append(event)
        say(event.text)

    watcher = Watcher(clusters, emit, every)
    if once:
        _end([trouble for name in clusters if (trouble := watcher.look(name))], len(clusters))
    else:
        watcher.watch(_until_ended(), time.monotonic)


def _until_ended() -> threading.Event:
    """An event set by SIGTERM and SIGINT, so that the current round of approvals finishes."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    return ended


def _end(troubles: Sequence[BmkError], clusters: int) -> None:
    from bmk.errors import SomeHostsFailed

    if troubles and len(troubles) == clusters:
        raise troubles[0]
    if troubles:
        raise SomeHostsFailed(f"{len(troubles)} of {clusters} clusters could not be asked", why=str(troubles[0]))
