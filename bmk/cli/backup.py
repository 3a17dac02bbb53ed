"""`bmk backup`: proven, encrypted backups of clusters."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bmk.cli.options import AmountRange, complete_clusters, dc_argument, output_option
from bmk.cli.output import emit, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bmk.datacenter.resolve import DataCenter
    from bmk.errors import BmkError
    from bmk.journal import Journal
    from bmk.journal.records import BackupRecord
    from bmk.live.workspace import Workspace

_HOUR = 3600.0


@click.command(name="backup", epilog="Example: bmk backup par apps")
@dc_argument
@click.argument("clusters", metavar="[CLUSTER]...", nargs=-1, shell_complete=complete_clusters)
@click.option("--list", "listing", is_flag=True, help="Only show what is kept; asks no machine.")
@click.option("--unless-younger", type=AmountRange(0), metavar="HOURS", help="Not when the last is younger.")
@click.option("--older", is_flag=True, help="Also when etcd is older than the last proven backup of it.")
@click.option(
    "--write", type=click.Path(file_okay=False, path_type=Path), help="Also leave backup.prom in this directory."
)
@output_option("table", "wide", "json", "yaml", "name", "prom")
def command(  # noqa: PLR0913, PLR0917 - one for each option
    dc: str,
    clusters: tuple[str, ...],
    listing: bool,
    unless_younger: float | None,
    older: bool,
    write: Path | None,
    output: str,
) -> int:
    """Take a backup of each CLUSTER (all that dc.yml wants backups of), prove it, and keep it encrypted.

    A snapshot of etcd, the cluster's keys and settings, and the journal go to memory of this machine, are restored into
    an etcd and an API server of their own, compared and read, and only then encrypted to the recipients in dc.yml and
    stored. Can be killed at any time; what is not proven is no backup.
    """
    from bmk.cli.records import open_records
    from bmk.errors import BmkError, Exit, SomeHostsFailed
    from bmk.live.workspace import open_workspace

    loaded, journal = open_records(dc)
    names = _named(loaded, clusters)
    failed: dict[str, BmkError] = {}
    if not listing:
        workspace = open_workspace(dc)
        journal = workspace.journal
        for name in names:
            try:
                _take(workspace, name, unless_younger, older=older)
            except BmkError as error:
                failed[name] = error
                if len(names) > 1:
                    say(str(error))
    known = _known(journal, names)
    if write is not None:
        _leave(write, loaded.name, known)
    _show(loaded.name, known, output)
    if len(failed) == len(names):
        raise next(iter(failed.values()))
    if failed:
        raise SomeHostsFailed(f"no backup of {', '.join(failed)}", hint=f"bmk why {dc} {next(iter(failed))}")
    return Exit.OK


def _named(loaded: DataCenter, clusters: Sequence[str]) -> list[str]:
    """Raises ConfigError for one that is not there, and when the file wants no backups."""
    from bmk.errors import ConfigError
    from bmk.live.backup_sites import backed_up, backup_settings

    for name in clusters:
        backup_settings(loaded, name)
    names = list(clusters) or backed_up(loaded)
    if not names:
        raise ConfigError(
            "dc.yml wants no backups of any cluster",
            where=str(loaded.source),
            hint="spec.backup with recipients and target; docs/backup.md shows one",
        )
    return names


def _take(workspace: Workspace, name: str, unless_younger: float | None, *, older: bool) -> None:
    from bmk.journal.host_status import age
    from bmk.live.backup_service import back_up
    from bmk.live.backup_sites import open_site

    site = open_site(workspace.services, name, lambda text: say(f"{name}: {text}"))
    newest = site.record.newest
    if newest and unless_younger is not None and time.time() - newest.at < unless_younger * _HOUR:
        say(f"{name}: the last proven backup is {age(newest.at)} old")
        return
    done = back_up(site, older=older)
    say(f"{name}: {done.name} is proven and kept")


def _known(journal: Journal | None, names: Sequence[str]) -> dict[str, BackupRecord]:
    from bmk.journal.records import BackupRecord

    found = BackupRecord.load_all(journal) if journal is not None else {}
    return {name: found.get(name) or BackupRecord() for name in names}


def _show(dc: str, known: dict[str, BackupRecord], output: str) -> None:
    from bmk.report.backup import as_metrics, rows

    if output == "prom":
        click.echo(as_metrics(dc, known), nl=False)
        return
    wide = ("at", "secrets", "size", "sha256")
    emit(rows(known, time.time()), output, ("backup", "cluster", "age", "revision", "keys"), wide)


def _leave(directory: Path, dc: str, known: dict[str, BackupRecord]) -> None:
    """Replaced whole: whoever reads it meanwhile sees the old or the new."""
    from bmk.report.backup import as_metrics

    directory.mkdir(parents=True, exist_ok=True)
    fresh = directory / ".backup.prom.new"
    fresh.write_text(as_metrics(dc, known))
    fresh.chmod(0o644)
    fresh.replace(directory / "backup.prom")
