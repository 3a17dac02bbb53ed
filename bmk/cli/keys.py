"""`bmk keys`: the deployer's ssh key, which logs in to every host of a data center."""

from __future__ import annotations

from pathlib import Path

import click

from bmk.cli.options import dc_argument, output_option
from bmk.cli.output import emit, say


@click.group(name="keys")
def command() -> None:
    """Show or replace the ssh key with which bmk logs in to hosts."""


@command.command(name="show", short_help="Show which key hosts let in.")
@dc_argument
@output_option()
def show(dc: str, output: str) -> None:
    """Show the deployer's key, where its private half is, and which hosts a rotation has reached. Asks no host."""
    from bmk.cli.records import open_records
    from bmk.errors import PreflightRefused
    from bmk.live.key_rotation import RECORD, Rotation

    loaded, journal = open_records(dc)
    if journal is None:
        raise PreflightRefused("there is no key yet", where=loaded.name, hint=f"run bmk plan {dc}, which makes one")
    rotation = Rotation(loaded, journal, loaded.state, say)
    known = journal.records(RECORD)
    keys = [("current", rotation.current), ("next", rotation.coming), ("old", rotation.gone)]
    rows = [
        {"key": name, "fingerprint": key.fingerprint, "private": key.holder,
         "hosts": sum(bool(keys_of.get(key.fingerprint)) for keys_of in known.values())}
        for name, key in keys if key.there()
    ]  # fmt: skip
    emit(rows, output, ("key", "fingerprint", "private"), ("hosts",))
    if rotation.under_way:
        say(f"a rotation is under way\n  next: bmk keys rotate {dc}")


@command.command(name="rotate", short_help="Replace the key on every host.")
@dc_argument
@click.option(
    "--to",
    "public",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Public half of the new key, whose private half an ssh agent holds. Without it, a pair is made.",
)
@click.option("--without", multiple=True, metavar="HOST", help="Leave this host behind: it has to be installed again.")
def rotate(dc: str, public: Path | None, without: tuple[str, ...]) -> int:
    """Replace the key with which bmk logs in, on every installed host of DC.

    Every host first accepts the new key; only when all do, bmk uses the new one and removes the old one. Killed or
    with hosts that do not answer (exit code 4), the same command continues.
    """
    from bmk.engine.lock import RunLock
    from bmk.errors import Exit
    from bmk.live.key_rotation import Rotation, installed_hosts, rotate
    from bmk.live.workspace import open_workspace

    workspace = open_workspace(dc)
    with RunLock(workspace.journal, workspace.run_id):
        rotation = Rotation(workspace.dc, workspace.journal, workspace.dc.state, say)
        failed = rotate(rotation, installed_hosts(rotation, without), public)
    for host, error in failed.items():
        say(f"{host}: {error.what}" + (f" ({error.why})" if error.why else ""))
    if failed:
        say(f"{len(failed)} hosts are not done: the others let in the key that counts\n  next: bmk keys rotate {dc}")
        return Exit.SOME_HOSTS
    say(f"the deployer's key is {rotation.current.fingerprint}")
    return Exit.OK
