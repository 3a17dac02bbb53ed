"""`bmk restore`: whether a backup would restore a cluster, tried from end to end."""

from __future__ import annotations

from pathlib import Path

import click

from bmk.cli.options import complete_clusters, dc_argument
from bmk.cli.output import say


@click.command(name="restore", epilog="Example: bmk restore par apps --dry-run --identity ~/par.key")
@dc_argument
@click.argument("cluster", metavar="CLUSTER", shell_complete=complete_clusters)
@click.option("--dry-run", is_flag=True, required=True, help="Restore into a scratch etcd and API server only.")
@click.option(
    "--identity", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File with a private key of age."
)
@click.option("--backup", "name", metavar="NAME", help="Which one; by default the newest that was proven.")
@click.option("--older", is_flag=True, help="It need not be the newest.")
@click.option("--digest", metavar="SHA256", help="Of the encrypted file, for one that the journal does not know.")
def command(  # noqa: PLR0913, PLR0917 - one for each option
    dc: str, cluster: str, dry_run: bool, identity: Path, name: str | None, older: bool, digest: str | None
) -> int:
    """Prove that CLUSTER could be restored from a backup: fetch, check, decrypt, restore, compare and read it.

    Everything is done on this machine, in memory; no host is asked and nothing of the cluster is changed. The key
    stays with who types this: run it where the key is, not on the deployer. What is wrong with a backup is named, with
    exit code 6.
    """
    from bmk.backup.sealing import read_identities
    from bmk.errors import Exit
    from bmk.live.backup_service import RestoreRequest, try_restore
    from bmk.live.backup_sites import open_site
    from bmk.live.workspace import open_workspace

    identities = read_identities(identity)
    workspace = open_workspace(dc)
    site = open_site(workspace.services, cluster, say)
    manifest = try_restore(site, RestoreRequest(identities, name, digest, older))
    say(f"{manifest.name} restores: revision {manifest.etcd.revision}, {manifest.etcd.keys} keys; nothing was changed")
    return Exit.OK
