"""`bmk status`: where each host is, from the journal."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from bmk.cli.options import dc_argument, limit_option, output_option
from bmk.cli.output import console, emit, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from bmk.datacenter.resolve import DataCenter, Host
    from bmk.journal import Journal
    from bmk.journal.host_status import HostStatus

_STATES = ("new", "running", "failed", "interrupted", "maintenance", "removed", "reset", "ready")
_COLOURS = {"ready": "green", "failed": "red", "interrupted": "yellow"}
_TOLD = 10  # hosts whose next command is printed; the others are in -o wide


@click.command(name="status", epilog="Example: bmk status lab --state failed -o name")
@dc_argument
@limit_option
@click.option("--state", "states", multiple=True, type=click.Choice(_STATES), help="Only in this state; several times.")
@output_option()
@click.option("--watch", "-w", is_flag=True, help="Follow until Ctrl-C.")
def command(dc: str, limit: tuple[str, ...], states: tuple[str, ...], output: str, watch: bool) -> None:
    """Show where each host of DC is: its phase, since when, what it does or what it died of, and what to type next.

    Told from the journal; asks no machine. The exit code says nothing about the hosts.
    """
    from bmk.cli.records import open_records
    from bmk.datacenter.hosts import select_hosts

    loaded, journal = open_records(dc)
    hosts = select_hosts(loaded, (), limit)
    if watch:
        _watch(journal, hosts, dc)
        return
    found = [(h, at) for h, at in zip(hosts, _find(journal, hosts, dc), strict=True) if at.state in (states or _STATES)]
    rows = [_row(h, at) for h, at in found]
    wide = ("cluster", "address", "bmc", "attest", "since", "next")
    emit(rows, output, ("host", "role", "state", "phase", "for", "now"), wide)
    if output in ("table", "wide"):
        _say_next([at for _, at in found], dc)
        _say_unproven(journal, hosts, dc)
        _say_backups(loaded, journal, dc)
        if journal is not None:
            _say_upgrades(journal, dc)
            _say_service(journal)
            _say_certificates(journal, loaded.name, dc)
            _say_kept(journal, loaded.spec.retention_days)


def _find(journal: Journal | None, hosts: Sequence[Host], dc: str) -> list[HostStatus]:
    from bmk.cli.records import seen
    from bmk.journal.host_status import statuses

    return statuses(journal, [h.name for h in hosts], seen(journal, dc))


def _row(host: Host, at: HostStatus) -> dict[str, Any]:
    from bmk.journal.host_status import age

    image = at.image
    progress = None if image is None else {"bytes": image.done, "total": image.total, "mb_per_s": image.rate / 1e6}
    return {
        "host": host.name,
        "role": host.role,
        "cluster": host.cluster,
        "rack": host.rack,
        "address": str(host.address),
        "bmc": str(host.bmc_address),
        "attest": host.profile.attestation.way,
        "state": at.state,
        "phase": at.phase or None,
        "for": age(at.since) or None,
        "since": _iso(at.since),
        "now": at.text,
        "why": at.why or None,
        "next": at.hint or None,
        "image": progress,
    }


def _iso(seconds: float) -> str | None:
    """Seconds since the epoch as UTC, to the second; None for never."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None


def _for_any_host(at: HostStatus, dc: str) -> str:
    """The next command with HOST for the name, so that equal commands are printed once."""
    return f"bmk why {dc} HOST" if at.hint.startswith("bmk status") else at.hint.replace(f" {at.host}", " HOST")


def _say_next(found: Sequence[HostStatus], dc: str) -> None:
    """Print how many hosts are in which phase, and each next command once for hosts that no run works on."""
    counts = Counter[str](at.state for at in found)
    say(f"\n{', '.join(f'{counts[state]} {state}' for state in _STATES if counts[state]) or 'no hosts'}")
    hints: dict[str, list[str]] = {}
    for at in found:
        if at.hint:
            hints.setdefault(_for_any_host(at, dc), []).append(at.host)
    for hint, names in list(hints.items())[:_TOLD]:
        who = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        say(f"  next ({who}): {hint}")


def _say_kept(journal: Journal, days: int) -> None:
    """Print the size of the journal, before it fills the disk."""
    from bmk.journal.retention import figures

    kept = figures(journal)
    since = f" since {_iso(kept.oldest)}" if kept.oldest else ""
    say(f"journal: {kept.events} events{since}, {kept.size / 1e6:.1f} MB; {kept.runs} runs; kept for {days} days")


def _say_upgrades(journal: Journal, dc: str) -> None:
    """Upgrades that are under way: how far each is, and the command that goes on."""
    from bmk.journal.host_status import age
    from bmk.journal.records import UpgradeRecord

    for cluster, known in sorted(UpgradeRecord.load_all(journal).items()):
        left = [name for name in known.members if name not in known.without]
        how = "aborted" if known.aborted else f"begun {age(known.at)} ago"
        done, again = len(left) - len(known.waiting), f"bmk upgrade {dc} {cluster}"
        say(f"upgrade of {cluster} to {known.target}: {done} of {len(left)} hosts done, {how}")
        say(f"  next: {again} --resume" if known.aborted else f"  next: {again}")


def _say_certificates(journal: Journal, name: str, dc: str) -> None:
    """Which certificate ends first, as `bmk certs` saw it last; nothing when nobody looked."""
    from bmk.certificates.standing import moment
    from bmk.journal.host_status import age
    from bmk.journal.records import CertificatesRecord

    seen = CertificatesRecord.load(journal, name)
    if seen is None or not seen.soonest:
        return
    where, kind, ends = seen.soonest[0]
    wrong = ", ".join(f"{n} {state}" for state, n in sorted(seen.counts.items()) if state != "ok")
    say(f"certificates: first ends {kind} of {where}, {moment(ends)} UTC; looked {age(seen.at)} ago")
    if wrong:
        say(f"  {wrong}; next: bmk certs show {dc}")


def _say_service(journal: Journal) -> None:
    """Print the state of the boot service's tasks; nothing when it was stopped properly."""
    import time

    from bmk.boot.supervise import read_state
    from bmk.journal.host_status import age

    state = read_state(journal)
    if state is None:
        return
    heard = f"heard {age(state.at)} ago" if not state.silent(time.time()) else f"NOT heard for {age(state.at)}"
    say(f"boot service: {heard}; {', '.join(f'{name} {task.words}' for name, task in sorted(state.tasks.items()))}")


def _say_backups(loaded: DataCenter, journal: Journal | None, dc: str) -> None:
    """How old the newest proven backup of each cluster is that the file wants backups of; rotations under way."""
    import time

    from bmk.journal.records import BackupRecord, KeyRotationOrder
    from bmk.report.backup import lines
    from bmk.report.upkeep import backed_up, rotation_lines

    found = BackupRecord.load_all(journal) if journal is not None else {}
    orders = KeyRotationOrder.load_all(journal) if journal is not None else {}
    known = {name: found.get(name) or BackupRecord() for name in backed_up(loaded)}
    for line in [*lines(known, time.time()), *rotation_lines(orders, dc, time.time())]:
        say(line)


def _say_unproven(journal: Journal | None, hosts: Sequence[Host], dc: str) -> None:
    from bmk.boot.tpm.accepted import waiting
    from bmk.datacenter.hosts import unproven

    for exception in unproven(hosts):
        say(f"  exception: {exception}")
    if people := waiting(journal, hosts, dc):
        say(f"  {people}")


def _watch(journal: Journal | None, hosts: Sequence[Host], dc: str) -> None:
    """The same table, drawn again twice a second."""
    import time
    from contextlib import suppress

    from rich.live import Live

    from bmk.datacenter.state import open_journal

    if not sys.stdout.isatty():
        raise click.UsageError(f"--watch needs a terminal; elsewhere: bmk events {dc} --follow")
    from bmk.datacenter.load import load_datacenter

    journal = journal or open_journal(load_datacenter(dc))  # a later run writes there
    screen = console(stderr=False)
    # Ctrl-C is the way to end it: no failure
    with (
        suppress(KeyboardInterrupt),
        Live(_table(_find(journal, hosts, dc), screen.size.height), console=screen, auto_refresh=False) as live,
    ):
        while True:
            time.sleep(0.5)
            live.update(_table(_find(journal, hosts, dc), screen.size.height), refresh=True)


def _table(found: Sequence[HostStatus], height: int) -> Table:
    """As many rows as the terminal has lines, hosts with problems first."""
    from rich.table import Column, Table
    from rich.text import Text

    from bmk.journal.host_status import age

    room = max(3, height - 5)
    rows = found if len(found) <= room else sorted(found, key=lambda at: _URGENCY.index(at.state))
    now = Column("now", no_wrap=True, overflow="ellipsis")  # one line a host, so that the table fits the screen
    table = Table("host", "state", "phase", "for", now, box=None, pad_edge=False, header_style="bold")
    for at in rows[:room]:
        table.add_row(at.host, at.state, at.phase, age(at.since), Text(at.text), style=_COLOURS.get(at.state, ""))
    counts = Counter[str](at.state for at in found)
    hidden = f", {len(found) - room} not shown" if len(found) > room else ""
    table.caption = f"{counts['ready']} of {len(found)} ready, {counts['failed']} failed{hidden}"
    return table


_URGENCY = ("failed", "interrupted", "running", "reset", "new", "maintenance", "removed", "ready")
