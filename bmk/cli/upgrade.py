"""`bmk upgrade`: a cluster to another version of Kubernetes, host by host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import click

from bmk.cli.options import AmountRange, complete_clusters, dc_argument, output_option, yes_option
from bmk.cli.output import dump, say

if TYPE_CHECKING:
    from bmk.engine.lock import RunLock
    from bmk.engine.rollout import Asked
    from bmk.live.workspace import Workspace
    from bmk.upgrade.decide import UpgradePlan
    from bmk.upgrade.model import Stage

_BOUNDS = ("max_unavailable", "max_unavailable_rack", "stop_after", "soak")


@click.command(name="upgrade", epilog="Example: bmk upgrade par apps --plan")
@dc_argument
@click.argument("clusters", metavar="[CLUSTER]...", nargs=-1, shell_complete=complete_clusters)
@click.option("--to", "wanted", metavar="VERSION", help="A version on the way to the file's; with --plan, any.")
@click.option("--plan", "only_plan", is_flag=True, help="Only show what would be done. Exit code 2: something.")
@click.option("--accept", multiple=True, metavar="KIND=REASON", help="Go on although of this kind; several times.")
@click.option("--without", multiple=True, metavar="HOST", help="Leave HOST behind, to be installed anew.")
@click.option(
    "--pause-after", "until", type=click.Choice(("control-plane", "canary")), help="End there; the same goes on."
)
@click.option("--resume", is_flag=True, help="Go on with an upgrade that is under way, also after --abort.")
@click.option("--abort", is_flag=True, help="Finish hosts that have begun; begin no other until --resume.")
@click.option("--max-unavailable", type=click.IntRange(1), help="Members of a cluster that may be away at a time.")
@click.option("--max-unavailable-rack", type=click.IntRange(1), help="The same, of a rack.")
@click.option("--stop-after", type=click.IntRange(1), help="Failures; then none begins.")
@click.option("--soak", type=AmountRange(0), help="Seconds to serve before the next one begins.")
@yes_option
@output_option("table", "json", "yaml")
def command(dc: str, clusters: tuple[str, ...], output: str, **wish: Any) -> int:
    """Bring each CLUSTER (all of DC) to the version of Kubernetes that the file says, one minor version in each run.

    A backup is taken and proven first. Then control planes, one at a time; then one worker alone, then the others as
    rollout of dc.yml allows. Each is drained, upgraded by kubeadm, seen Ready, proven by the smoke test and takes pods
    again. Until it is over, other commands leave the cluster alone. Can be killed at any time: the same command does
    what is left.
    """
    from bmk.cli.running import leave
    from bmk.engine.lock import RunLock
    from bmk.live.workspace import open_workspace

    if wish["abort"] and wish["resume"]:
        raise click.UsageError("--abort and --resume exclude each other")
    workspace = open_workspace(dc)
    asked = _Wish(
        again=" ".join(["bmk upgrade", dc, *clusters]),
        reasons=_reasons(wish["accept"]),
        rollout={key: wish[key] for key in _BOUNDS if wish[key] is not None},
        **{key: wish[key] for key in ("wanted", "without", "resume", "abort", "yes")},
        until=wish["until"] or "all",
    )
    names = _named(workspace, clusters, asked)
    if wish["only_plan"]:
        return _plan(workspace, names, asked, output)
    try:
        with RunLock(workspace.journal, workspace.run_id) as lock:
            return _run(workspace, names, asked, lock)
    except KeyboardInterrupt:
        leave()


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the user asked for. `reasons` by kind of blocker; `wanted` None: what the file says."""

    again: str
    wanted: str | None
    reasons: Mapping[str, str]
    without: tuple[str, ...]
    until: Stage
    resume: bool
    abort: bool
    yes: bool
    rollout: Asked = field(default_factory=dict)


def _reasons(given: Sequence[str]) -> dict[str, str]:
    found = dict[str, str]()
    for one in given:
        kind, equals, reason = one.partition("=")
        if not equals or len(reason.strip()) < 8 or not reason.isprintable() or len(reason) > 500:
            raise click.UsageError(f"--accept {one}: KIND=REASON, with a reason of 8 to 500 characters in one line")
        found[kind] = reason.strip()
    return found


def _named(workspace: Workspace, clusters: Sequence[str], wish: _Wish) -> list[str]:
    """Raises ConfigError for a cluster or host that is not there."""
    from bmk.datacenter.hosts import host_named
    from bmk.datacenter.problems import did_you_mean
    from bmk.errors import ConfigError
    from bmk.upgrade.versions import version

    for host in wish.without:
        host_named(workspace.dc, host)
    if wish.wanted is not None and version(wish.wanted) is None:
        raise ConfigError(f"--to {wish.wanted} is no version of Kubernetes such as 1.37.2")
    known = workspace.dc.spec.clusters
    for name in clusters:
        if name not in known:
            what = f"there is no cluster {name!r} in {workspace.dc.name}"
            raise ConfigError(what, where=str(workspace.dc.source), hint=did_you_mean(name, known))
    return list(clusters) or list(known)


def _decided(workspace: Workspace, name: str, wish: _Wish) -> UpgradePlan:
    """What is to be done with a cluster. Raises Unreachable when its API does not answer, ConfigError for a wish that
    does not fit it."""
    from bmk.errors import ConfigError
    from bmk.live.upgrade_service import installable, see
    from bmk.upgrade.blockers import ACCEPTABLE
    from bmk.upgrade.decide import decide, with_reasons
    from bmk.upgrade.model import Standing

    seen = see(workspace.dc, workspace.journal, workspace.services, name, installable(workspace.dc))
    if wish.wanted is not None:
        seen = replace(seen, wanted=wish.wanted.removeprefix("v"))
    mine = frozenset(h.name for h in workspace.dc.members(name)) & set(wish.without)
    if seen.standing is not None or mine:
        under_way = seen.standing or Standing("")
        aborted = (under_way.aborted or wish.abort) and not wish.resume
        changed = replace(under_way, without=under_way.without | mine, aborted=aborted)
        seen = replace(seen, standing=changed)
    found = decide(workspace.dc.name, seen, wish.until)
    try:
        return with_reasons(found, wish.reasons)
    except KeyError as error:
        what = f"--accept {error.args[0]}: this cannot be accepted"
        raise ConfigError(what, why=f"what can be: {', '.join(ACCEPTABLE)}") from None


def _plan(workspace: Workspace, names: Sequence[str], wish: _Wish, output: str) -> int:
    from bmk.errors import Exit

    found = [_decided(workspace, name, wish) for name in names]
    if output == "table":
        for one in found:
            click.echo("\n".join(_lines(workspace, one, wish)))
    else:
        shown = [one.as_dict() | {"batches": _waves(workspace, one, wish)} for one in found]
        dump({"schema": 1, "dc": workspace.dc.name, "clusters": shown}, output)
    return Exit.OK if all(one.nothing for one in found) else Exit.PENDING


def _lines(workspace: Workspace, found: UpgradePlan, wish: _Wish) -> list[str]:
    from bmk.upgrade.show import lines

    planes = [name for name in found.hosts if workspace.dc.hosts[name].role == "control_plane"]
    return list(lines(workspace.dc.name, found, _waves(workspace, found, wish), planes))


def _waves(workspace: Workspace, found: UpgradePlan, wish: _Wish) -> list[list[str]]:
    """Workers that would be away at the same time."""
    from bmk.actions.upgrade import UPGRADE
    from bmk.engine.rollout import rollouts, waves

    workers = [workspace.dc.hosts[name] for name in found.hosts if workspace.dc.hosts[name].role == "worker"]
    return waves(workers, rollouts(workspace.dc.spec, UPGRADE.rollout, wish.rollout)[found.cluster])


def _run(workspace: Workspace, names: Sequence[str], wish: _Wish, lock: RunLock) -> int:
    """One step of each cluster that has one, all in one run. A cluster that is blocked is left alone."""
    from bmk.actions.upgrade import abort_upgrade, resume_upgrade
    from bmk.errors import BmkError, Exit, SomeHostsFailed

    if wish.resume or wish.abort:
        change = resume_upgrade if wish.resume else abort_upgrade
        for name in names:
            change(workspace.journal, name)
    found: list[UpgradePlan] = []
    failed: dict[str, BmkError] = {}
    for name in names:
        try:
            found.append(_permitted(workspace, name, wish))
        except BmkError as error:
            failed[name] = error
            if len(names) > 1:
                say(str(error))
    if len(failed) == len(names):
        raise next(iter(failed.values()))
    _steps(workspace, [one for one in found if one.target], wish, lock)
    if failed:
        raise SomeHostsFailed(f"not upgraded: {', '.join(failed)}", hint=f"bmk upgrade {workspace.dc.name} --plan")
    return Exit.OK


def _permitted(workspace: Workspace, name: str, wish: _Wish) -> UpgradePlan:
    """What is to be done with a cluster, shown. Raises PreflightRefused when something blocks it."""
    found = _decided(workspace, name, wish)
    say("\n".join(_lines(workspace, found, wish)))
    _refuse(workspace, found, wish)
    return found


def _steps(workspace: Workspace, found: Sequence[UpgradePlan], wish: _Wish, lock: RunLock) -> None:
    """Write down what begins, do it, and see which clusters are done, also when hosts of others failed."""
    from bmk.actions.upgrade import begin_upgrade, withdraw_upgrade
    from bmk.errors import ConfigError, Declined, PreflightRefused, SomeHostsFailed

    failed: SomeHostsFailed | None = None
    new = []
    for one in found:
        mine = [host for host in wish.without if workspace.dc.hosts[host].cluster == one.cluster]
        new += [one.cluster] if begin_upgrade(workspace.journal, one, mine) else []
    try:
        if any(one.hosts for one in found):
            _perform(workspace, found, wish, lock)
    except (Declined, PreflightRefused, ConfigError):  # nothing has begun
        for name in new:
            withdraw_upgrade(workspace.journal, name)
        raise
    except SomeHostsFailed as error:
        failed = error
    for one in found:
        _settle(workspace, one.cluster, wish)
    if failed is not None:
        raise failed


def _settle(workspace: Workspace, name: str, wish: _Wish) -> None:
    """Say how far a cluster is; its record ends when nothing is left, or when nothing had begun and it was aborted."""
    from bmk.actions.upgrade import finish_upgrade, nothing_begun, withdraw_upgrade

    now = _decided(workspace, name, replace(wish, reasons={}))
    if finish_upgrade(workspace.journal, now):
        more = f"; next: {wish.again}" if now.steps[1:] else ""
        say(f"cluster {name} runs {now.target}{more}")
    elif nothing_begun(workspace.journal, now):
        withdraw_upgrade(workspace.journal, name)
        say(f"cluster {name} is not upgraded after all: nothing of it had begun")
    elif now.left:
        say(f"cluster {name}: {len(now.left)} hosts are still to be upgraded; next: {wish.again} --resume")


def _refuse(workspace: Workspace, found: UpgradePlan, wish: _Wish) -> None:
    """Raises PreflightRefused when something blocks it, ConfigError for a version that is not on the file's way."""
    from bmk.errors import ConfigError, PreflightRefused

    if found.blocked:
        first = found.blocked[0]
        why = "\n".join(f"{b.kind}: {b.text}" for b in found.blocked)
        hint = first.next + (f"; or: {wish.again} --accept {first.kind}=REASON" if first.acceptable else "")
        raise PreflightRefused("its upgrade cannot begin", where=f"cluster {found.cluster}", why=why, hint=hint)
    if wish.wanted is not None:
        steps = _decided(workspace, found.cluster, replace(wish, wanted=None, reasons={})).steps
        if found.steps and found.steps[-1] not in steps:
            says = workspace.dc.cluster(found.cluster).kubernetes.version
            what = f"--to {wish.wanted} is not on the way to {says}, which dc.yml says"
            raise ConfigError(what, where=str(workspace.dc.source), hint="write the version that you want into dc.yml")


def _perform(workspace: Workspace, found: Sequence[UpgradePlan], wish: _Wish, lock: RunLock) -> None:
    """The run itself, with everything rendered for the versions of this step. Raises SomeHostsFailed and others."""
    from bmk.actions.upgrade import UPGRADE
    from bmk.cli.running import RunRequest, run_action
    from bmk.live.upgrade_service import require_version, upgrade_look

    for one in found:
        require_version(one.target)
    step = workspace.at({one.cluster: one.target for one in found})
    hosts = [step.dc.hosts[name] for one in found for name in one.hosts]
    look = upgrade_look(workspace.journal, found)
    run_action(step, UPGRADE, hosts, RunRequest(wish.again, wish.yes, (), rollout=wish.rollout, look=look), lock)
