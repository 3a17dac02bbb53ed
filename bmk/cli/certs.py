"""`bmk certs`: which certificates there are, when they end, and whether what is served is what is in the file."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bmk.cli.options import complete_clusters, complete_hosts, dc_argument, limit_option, output_option, yes_option
from bmk.cli.output import dump, say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bmk.certificates.standing import CertificateStanding
    from bmk.datacenter.resolve import Host
    from bmk.engine.lock import RunLock
    from bmk.journal import Journal
    from bmk.journal.records import KeyRotationOrder, RenewalOrder
    from bmk.live.workspace import Workspace
    from bmk.plan.actual import Observation

_FORMATS = ("table", "wide", "json", "yaml", "junit", "prom")


class _ShowByDefault(click.Group):
    """`bmk certs DC` is `bmk certs show DC`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        named = not args or args[0] in self.commands or args[0] in ctx.help_option_names
        return super().parse_args(ctx, args if named else ["show", *args])


@click.group(name="certs", cls=_ShowByDefault)
def command() -> None:
    """Show every certificate of a data center and when it ends, or renew those that end soon.

    `bmk certs DC` is short for `bmk certs show DC`.
    """


@command.command(name="show", short_help="Show when certificates end, and which are not used as they are in the file.")
@dc_argument
@limit_option
@click.option(
    "--write",
    type=click.Path(file_okay=False, path_type=Path),
    help="Also leave certs.json and certs.prom in this directory.",
)
@output_option(*_FORMATS)
def show(dc: str, limit: tuple[str, ...], write: Path | None, output: str) -> int:
    """Look at every certificate: in the files of hosts, at what API servers, etcd, kubelets, BMCs and the registry
    show, and at bmk's own. Changes nothing.

    The table shows what is not as it should be; wide shows all. Exit code 0: all is well; 2: something is due, ended,
    or renewed and not used; 4: some could not be looked at; 5: none could.
    """
    from bmk.live.certificate_service import read_certificates, remember
    from bmk.live.workspace import open_workspace

    workspace = open_workspace(dc)
    began = time.time()
    hosts, alone = workspace.attended(workspace.select(limit))
    for name, why in alone.items():
        say(f"{name}: left alone, {why}")
    standings = read_certificates(workspace.services.certificate_hosts, hosts)
    if not limit:
        remember(workspace.dc, workspace.journal, standings)
    if write is not None:
        _leave(workspace, write, began, standings)
    _print(workspace, standings, began, output)
    return exit_code(standings)


def exit_code(standings: Sequence[CertificateStanding]) -> int:
    """What is not known never hides behind what is due, and that never behind 0."""
    from bmk.errors import Exit

    unknown = [s for s in standings if s.state == "unknown"]
    if unknown:
        return Exit.UNREACHABLE if len(unknown) == len(standings) else Exit.SOME_HOSTS
    return Exit.PENDING if any(s.wrong for s in standings) else Exit.OK


def _print(workspace: Workspace, standings: Sequence[CertificateStanding], began: float, output: str) -> None:
    from bmk.report import certificates as report

    name, now = workspace.dc.name, time.time()
    if output in ("json", "yaml"):
        dump(report.document(name, now, now - began, standings), output)
    elif output == "junit":
        click.echo(report.as_junit(name, standings), nl=False)
    elif output == "prom":
        click.echo(report.as_metrics(name, now, standings, _rotations(workspace)), nl=False)
    else:
        lines = list(report.table(standings, wide=output == "wide"))
        if lines:
            click.echo("\n".join(lines))
        say(report.words(name, standings, now - began))


def _rotations(workspace: Workspace) -> Mapping[str, KeyRotationOrder]:
    from bmk.journal.records import KeyRotationOrder

    return KeyRotationOrder.load_all(workspace.journal)


def _leave(workspace: Workspace, directory: Path, began: float, standings: Sequence[CertificateStanding]) -> None:
    import json

    from bmk.cli.output import replace_whole
    from bmk.report import certificates as report

    name, now = workspace.dc.name, time.time()
    body: dict[str, Any] = report.document(name, now, now - began, standings)
    directory.mkdir(parents=True, exist_ok=True)
    replace_whole(directory / "certs.json", json.dumps(body, indent=1) + "\n")
    replace_whole(directory / "certs.prom", report.as_metrics(name, now, standings, _rotations(workspace)))


@command.command(
    name="renew", short_help="Renew certificates that end soon.", epilog="Example: bmk certs renew par --plan"
)
@dc_argument
@click.argument("names", metavar="[CLUSTER|HOST]...", nargs=-1, shell_complete=complete_hosts)
@click.option("--all", "everything", is_flag=True, help="All that kubeadm made, however long they last.")
@click.option("--plan", "only_plan", is_flag=True, help="Only show what would be done. Exit code 2: something.")
@click.option(
    "--nightly", is_flag=True, help="Do not ask, and do nothing where dc.yml has certificates.nightly: false."
)
@yes_option
def renew(dc: str, names: tuple[str, ...], nightly: bool, **wish: Any) -> int:
    """Renew the certificates of control planes that end within 30 days, and the deployer's kubeconfig.

    One control plane at a time, and on it one static pod after the other: kubeadm renews, the pod starts again, and the
    next one follows when the new certificate is in use and etcd and the API are well. Kubelets renew theirs by
    themselves; what they ask for is approved. Can be killed at any time: the same command does what is left.
    """
    from bmk.cli.running import leave
    from bmk.engine.lock import RunLock
    from bmk.errors import Exit
    from bmk.live.workspace import open_workspace

    workspace = open_workspace(dc)
    if nightly and not workspace.dc.spec.certificates.nightly:
        say("certificates.nightly in dc.yml is false: nothing is renewed")
        return Exit.OK
    hosts, everything = workspace.select(names), wish["everything"]
    if wish["only_plan"]:
        return _plan(workspace, hosts, everything=everything)
    again = " ".join(["bmk certs renew", dc, *names, *(["--all"] if everything else [])])
    try:
        with RunLock(workspace.journal, workspace.run_id) as lock:
            return _renew(workspace, hosts, _Request(again, everything, wish["yes"] or nightly), lock)
    except KeyboardInterrupt:
        leave()


@command.command(
    name="rotate-encryption-key",
    short_help="Give clusters another key of secrets at rest.",
    epilog="Example: bmk certs rotate-encryption-key par apps --plan",
)
@dc_argument
@click.argument("clusters", metavar="[CLUSTER]...", nargs=-1, shell_complete=complete_clusters)
@click.option("--plan", "only_plan", is_flag=True, help="Only show what would be done. Exit code 2: something.")
@click.option("--accept", metavar="REASON", default="", help="Without a proven backup of the last day; on record.")
@yes_option
def rotate_encryption_key(dc: str, clusters: tuple[str, ...], only_plan: bool, accept: str, yes: bool) -> int:
    """Encrypt the secrets of each CLUSTER (all of DC) in etcd with a new key, and drop the old one.

    The new key is added to all control planes, then made the first, then all secrets are written anew, and when none is
    under the old key it is dropped: API servers begin anew three times, one at a time. Every secret can be read at any
    moment. Can be killed at any time: the same command does what is left.
    """
    from bmk.cli.key_rotation import RotationWish, plan_rotation, rotate
    from bmk.cli.running import leave
    from bmk.engine.lock import RunLock
    from bmk.live.workspace import open_workspace

    workspace = open_workspace(dc)
    again = " ".join(["bmk certs rotate-encryption-key", dc, *clusters])
    wish = RotationWish(again, clusters or tuple(workspace.dc.spec.clusters), yes, accept)
    if only_plan:
        return plan_rotation(workspace, wish)
    try:
        with RunLock(workspace.journal, workspace.run_id) as lock:
            return rotate(workspace, wish, lock)
    except KeyboardInterrupt:
        leave()


@dataclass(frozen=True, slots=True)
class _Request:
    again: str
    everything: bool
    yes: bool


def _plan(workspace: Workspace, hosts: Sequence[Host], *, everything: bool) -> int:
    """Nothing is written down, also with --all."""
    from bmk.actions.certs_renew import RENEW, new_orders
    from bmk.errors import Exit
    from bmk.plan.show import lines

    look = _Observer(workspace, hosts, new_orders(workspace.journal, hosts) if everything else {})
    plan, _ = workspace.plan(hosts, RENEW, look)
    click.echo("\n".join(lines(plan, workspace.dc.hosts, verbose=True)))
    return look.end(Exit.OK if plan.empty else Exit.PENDING)


def _renew(workspace: Workspace, hosts: Sequence[Host], wish: _Request, lock: RunLock) -> int:
    from bmk.actions.certs_renew import RENEW, new_orders, order_renewal, settle, withdraw_renewal
    from bmk.cli.records import seen as projection
    from bmk.cli.running import RunRequest, run_action
    from bmk.errors import ConfigError, Declined, PreflightRefused
    from bmk.plan import build_plan

    journal = workspace.journal
    orders = new_orders(journal, hosts) if wish.everything else _under_way(journal, hosts)
    new = order_renewal(journal, orders)
    look = _Observer(workspace, hosts, orders)
    try:
        code = run_action(workspace, RENEW, hosts, RunRequest(wish.again, wish.yes, (), look=look), lock)
    except (Declined, PreflightRefused, ConfigError):  # nothing has begun
        withdraw_renewal(journal, new)
        raise
    plan = build_plan(workspace.dc, RENEW, list(look.seen.hosts), look.seen)
    over = [h.host for h in plan.hosts if not (h.changes or h.alone) and h.host not in look.blind]
    settle(journal, projection(journal, workspace.dc.name), over)
    return look.end(code)


class _Observer:
    """Adds what this action has to see, and remembers it. `blind`: hosts that could not all be looked at."""

    def __init__(self, workspace: Workspace, hosts: Sequence[Host], orders: Mapping[str, RenewalOrder]) -> None:
        from bmk.live.observe_certificates import certificates_look
        from bmk.plan.actual import Observation

        self._dc, self._look = workspace.dc.name, certificates_look(workspace.services, hosts, orders)
        self.seen, self.blind = Observation(), list[str]()

    def __call__(self, before: Observation) -> Observation:
        from bmk.live.observe_certificates import blind

        self.seen = self._look(before)
        self.blind = blind(before, self.seen)
        return self.seen

    def end(self, code: int) -> int:
        """Raises SomeHostsFailed when hosts could not be looked at: nobody knows what they need."""
        from bmk.errors import SomeHostsFailed

        if self.blind:
            what = f"certificates of {', '.join(self.blind)} could not all be looked at"
            raise SomeHostsFailed(what, hint=f"bmk certs show {self._dc} says why")
        return code


def _under_way(journal: Journal, hosts: Sequence[Host]) -> dict[str, RenewalOrder]:
    """Orders of --all that were not carried out to their end."""
    from bmk.journal.records import RenewalOrder

    known = RenewalOrder.load_all(journal)
    return {host.name: known[host.name] for host in hosts if host.name in known}
