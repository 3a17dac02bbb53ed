"""`bmk kubeconfig`: the administrator's kubeconfig of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bmk.cli.options import dc_argument
from bmk.cli.output import say

if TYPE_CHECKING:
    from pathlib import Path

    from bmk.datacenter.resolve import DataCenter

_KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf get nodes"


@click.command(name="kubeconfig", epilog="Example: KUBECONFIG=$(bmk kubeconfig par --path) kubectl get nodes")
@dc_argument
@click.argument("cluster", required=False)
@click.option("--path", is_flag=True, help="Print the path of the file instead.")
def command(dc: str, cluster: str | None, path: bool) -> None:
    """Print the administrator's kubeconfig of CLUSTER, which may be left out when there is one.

    It is a secret: keep it in a private file, or use it where bmk keeps it.
    """
    from bmk.datacenter.load import load_datacenter
    from bmk.datacenter.state import require_own
    from bmk.lab.host.netns import is_lab

    loaded = load_datacenter(dc)
    require_own(loaded)
    name = _chosen(loaded, cluster)
    file = loaded.state / "kubeconfig" / name
    if not _is_ours(loaded, name, file):
        _fetch(loaded, name, dc)
    file.chmod(0o600)  # it gives access to the whole cluster
    click.echo(str(file) if path else file.read_text(), nl=path)
    if is_lab(loaded):
        say(f"its API is inside the lab: bmk ssh {dc} {_first(loaded, name)} {_KUBECTL}")


def _is_ours(dc: DataCenter, cluster: str, file: Path) -> bool:
    """Whether the file is there and is what bmk writes: a copy of a host's own could name a command to run."""
    from bmk.cluster.kubeconfig import credentials, kubeconfig
    from bmk.datacenter.inventory import endpoint
    from bmk.errors import BmkError

    try:
        text = file.read_text()
        return text == kubeconfig(cluster, endpoint(dc, cluster), credentials(text))
    except (BmkError, OSError, ValueError):
        return False


def _first(dc: DataCenter, cluster: str) -> str:
    """A control plane that can be asked: one that joined, as far as is known."""
    from bmk.datacenter.state import existing_journal
    from bmk.journal.records import MembershipRecord

    journal = existing_journal(dc)
    joined = MembershipRecord.load_all(journal) if journal is not None else {}
    names = [host.name for host in dc.members(cluster, "control_plane")]
    return next((name for name in names if name in joined), names[0])


def _chosen(dc: DataCenter, cluster: str | None) -> str:
    from bmk.datacenter.problems import did_you_mean
    from bmk.errors import ConfigError

    names = list(dc.spec.clusters)
    if cluster is None and len(names) == 1:
        return names[0]
    if cluster is None:
        raise ConfigError(f"{dc.name} has {len(names)} clusters: name one", hint=f"one of: {', '.join(names)}")
    if cluster not in names:
        what = f"there is no cluster {cluster!r} in {dc.name}"
        raise ConfigError(what, where=str(dc.source), hint=did_you_mean(cluster, names))
    return cluster


def _fetch(loaded: DataCenter, cluster: str, dc: str) -> Path:
    """From a control plane that joined; the file is the administrator's, so only its owner may read it."""
    from bmk.datacenter.state import existing_journal
    from bmk.errors import BmkError, PreflightRefused, Unreachable
    from bmk.journal.records import MembershipRecord
    from bmk.live.workspace import enter

    journal = existing_journal(loaded)
    joined = MembershipRecord.load_all(journal) if journal is not None else {}
    there = [h for h in loaded.members(cluster, "control_plane") if h.name in joined]
    if not there:
        raise PreflightRefused(f"cluster {cluster} does not exist yet", hint=f"bmk provision {dc}")
    workspace, problems = enter(loaded), []
    for host in there:
        try:
            workspace.services.fetch_kubeconfig(host)
            return workspace.services.kubeconfig(cluster)
        except BmkError as error:
            problems.append(f"{host.name}: {error.what}")
    raise Unreachable(f"no control plane of {cluster} could be asked", why="; ".join(problems), hint=f"bmk status {dc}")
