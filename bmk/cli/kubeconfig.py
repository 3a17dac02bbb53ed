"""`bmk kubeconfig`: the administrator's kubeconfig of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bmk.cli.options import dc_argument

if TYPE_CHECKING:
    from bmk.datacenter.resolve import DataCenter
    from bmk.phases.site import Site


@click.command(name="kubeconfig")
@dc_argument
@click.argument("cluster", required=False)
@click.option("--path", is_flag=True, help="Print the path of the file instead.")
def command(dc: str, cluster: str | None, path: bool) -> None:
    """Print the kubeconfig of CLUSTER, which may be left out when there is one."""
    from bmk.datacenter.load import load_datacenter
    from bmk.paths import state_dir

    loaded = load_datacenter(dc)
    name = _chosen(loaded, cluster)
    file = state_dir(loaded.name) / "kubeconfig" / name
    if not file.exists():
        from bmk.phases.site import open_site

        _fetch(open_site(dc), name)
    click.echo(str(file) if path else file.read_text(), nl=path)


def _chosen(dc: DataCenter, cluster: str | None) -> str:
    from bmk.datacenter.problem import did_you_mean
    from bmk.errors import ConfigError

    names = list(dc.spec.clusters)
    if cluster is None and len(names) == 1:
        return names[0]
    if cluster not in names:
        what = f"there is no cluster {cluster!r}" if cluster else f"{dc.name} has {len(names)} clusters"
        raise ConfigError(what, where=str(dc.source), hint=did_you_mean(cluster or "", names) or ", ".join(names))
    return cluster


def _fetch(site: Site, cluster: str) -> None:
    """From a control plane that joined; the file is the administrator's, so only its owner may read it."""
    from bmk.errors import BmkError, Unreachable

    joined = site.journal.records("joined")
    for host in site.dc.members(cluster, "control_plane"):
        if host.name not in joined:
            continue
        try:
            site.world.fetch_kubeconfig(host)
        except BmkError:
            continue
        return
    raise Unreachable(f"no control plane of {cluster} could be asked", hint=f"bmk status {site.dc.name}")
