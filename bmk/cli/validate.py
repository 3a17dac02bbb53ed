"""`bmk validate`: check a data center file, and keep its addresses.yml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bmk.cli.options import dc_argument, output_option
from bmk.cli.output import dump, say

if TYPE_CHECKING:
    from bmk.datacenter.resolve import DataCenter
    from bmk.errors import ConfigError


@click.command(name="validate")
@dc_argument
@click.option("--write", is_flag=True, help="Allocate missing addresses and pod ranges into addresses.yml.")
@output_option("table", "json")
def command(dc: str, write: bool, output: str) -> int:
    """Check a data center file; every problem in one go, with its place and what was expected.

    Hosts that reserve no address have one allocated once, in addresses.yml beside the file. Exit code 3: it is wrong.
    """
    from bmk.artifacts.lock import load_lock
    from bmk.datacenter.load import load_datacenter
    from bmk.datacenter.source import lock_path
    from bmk.errors import ConfigError

    try:
        if write:
            _write(dc)
        loaded = load_datacenter(dc)
        load_lock(lock_path(loaded.source, loaded.spec.artifacts))
    except ConfigError as error:
        if output != "json":
            raise
        dump({"ok": False, "problems": _problems(error)}, output)
        return error.exit_code
    if output == "json":
        dump({"ok": True, "problems": []}, output)
    else:
        say(_summary(loaded))
    return 0


def _problems(error: ConfigError) -> list[dict[str, Any]]:
    """Of the data center's files, each with its place; what is wrong with another file (the lock) is one problem."""
    from bmk.datacenter.problems import InvalidDataCenter

    if isinstance(error, InvalidDataCenter):
        return error.as_dicts()
    what = f"{error.what}: {error.why}" if error.why else error.what
    return [{"path": error.where, "line": 1, "column": 1, "what": what, "hint": error.hint, "text": ""}]


def _write(dc: str) -> None:
    from bmk.datacenter.write import write_addresses

    changes = write_addresses(dc)
    for sign, entries in (("+", changes.added), ("-", changes.dropped)):
        for name, value in entries.items():
            say(f"{sign} {name}: {value}")
    if changes.added or changes.dropped:
        say(f"{changes.path}: written; review and commit it")


def _summary(dc: DataCenter) -> str:
    from bmk.datacenter.problems import counted

    roles = [(sum(h.role == role for h in dc.hosts.values()), name) for role, name in _ROLES]
    hosts = ", ".join([*(counted(number, name) for number, name in roles[:2]), f"{roles[2][0]} spare"])
    clusters = ", ".join(f"{name} {c.kubernetes.version}" for name, c in dc.spec.clusters.items()) or "none"
    return f"{dc.source}: good: {counted(len(dc.hosts), 'host')} ({hosts}), clusters: {clusters}"


_ROLES = (("control_plane", "control plane"), ("worker", "worker"), ("spare", "spare"))
