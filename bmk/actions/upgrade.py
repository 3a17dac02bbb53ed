"""`bmk upgrade`: a cluster from one version of Kubernetes to the next, one host after the other as the rollout allows.

What has begun is on record before anything happens (`UpgradeRecord`), so every other command leaves the cluster alone
until it is over, and the same command goes on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from bmk.engine.action import Action
from bmk.engine.rollout import Rollout
from bmk.errors import PreflightRefused
from bmk.journal import Event, Journal
from bmk.journal.records import AcceptedBlocker, EvacuationRecord, UpgradeRecord
from bmk.phases.backed_up import BackedUp
from bmk.phases.baseline_signed import BaselineSigned
from bmk.phases.configured import Configured
from bmk.phases.control_planes_first import ControlPlanesFirst
from bmk.phases.evacuated import Evacuated
from bmk.phases.readmitted import Readmitted
from bmk.phases.upgraded import Upgraded
from bmk.plan.guards import RECORD, VERSION
from bmk.upgrade.decide import UpgradePlan

UPGRADE = Action(
    "upgrade",
    (BackedUp(), ControlPlanesFirst(), Evacuated(), Upgraded(), Configured(), BaselineSigned(), Readmitted()),
    Rollout(canary=True),
    takes=frozenset({"upgrade"}),
    brings=(VERSION,),
)


def begin_upgrade(journal: Journal, found: UpgradePlan, without: Sequence[str] = ()) -> bool:
    """Write down what begins or goes on, with what was accepted for it; returns whether it is new."""
    before = UpgradeRecord.load(journal, found.cluster)
    known = before or UpgradeRecord(target=found.target, at=time.time())
    accepted = {b.kind: AcceptedBlocker(reason=b.accepted, items=b.items) for b in found.blockers if b.accepted}
    members = tuple(dict.fromkeys((*known.members, *found.left)))
    changed = {
        "members": members,
        "accepted": {**known.accepted, **accepted},
        "without": tuple(dict.fromkeys((*known.without, *without))),
    }
    with journal.transaction():
        known.model_copy(update=changed).save(journal, found.cluster)
        if before is None:
            _say(
                journal, found.cluster, "begun", f"is upgraded from {found.have} to {found.target}", target=found.target
            )
        for kind in accepted.keys() - known.accepted.keys():
            text = f"accepted for its upgrade: {kind}: {accepted[kind].reason}"
            _say(journal, found.cluster, "accepted", text, blocker=kind, items=list(accepted[kind].items))
        for name in set(without) - set(known.without):
            EvacuationRecord.drop(journal, name)
            _say(journal, found.cluster, "without", f"{name} is left behind", host=name)
    return before is None


def withdraw_upgrade(journal: Journal, cluster: str) -> None:
    """Take back what was written down for an upgrade of which nothing has begun."""
    with journal.transaction():
        UpgradeRecord.drop(journal, cluster)
        _say(journal, cluster, "withdrawn", "is not upgraded after all")


def abort_upgrade(journal: Journal, cluster: str) -> None:
    """No further host begins. Raises PreflightRefused when no upgrade is under way."""
    _change(journal, cluster, "aborted", aborted=True)


def resume_upgrade(journal: Journal, cluster: str) -> None:
    """Hosts begin again. Raises PreflightRefused when no upgrade is under way."""
    _change(journal, cluster, "resumed", aborted=False)


def _change(journal: Journal, cluster: str, what: str, *, aborted: bool) -> None:
    known = UpgradeRecord.load(journal, cluster)
    if known is None:
        raise PreflightRefused(
            f"no upgrade of cluster {cluster} is under way", hint="bmk upgrade DC --plan shows what is"
        )
    if known.aborted == aborted:
        return
    with journal.transaction():
        known.model_copy(update={"aborted": aborted}).save(journal, cluster)
        _say(journal, cluster, what, f"its upgrade to {known.target} is {what}")


def finish_upgrade(journal: Journal, found: UpgradePlan) -> bool:
    """When nothing is left of it, the cluster is on record with its new version; returns whether it is."""
    known = UpgradeRecord.load(journal, found.cluster)
    if known is None or found.left or found.target != known.target:
        return False
    made: Mapping[str, str] = journal.records(RECORD).get(found.cluster) or {}
    with journal.transaction():
        journal.record(found.cluster, RECORD, {**made, VERSION: known.target})
        UpgradeRecord.drop(journal, found.cluster)
        left = f"; left behind: {', '.join(known.without)}" if known.without else ""
        _say(journal, found.cluster, "finished", f"runs {known.target}{left}", target=known.target)
    return True


def nothing_begun(journal: Journal, found: UpgradePlan) -> bool:
    """Whether an upgrade that was aborted had not begun with any host: then it can be taken back."""
    known = UpgradeRecord.load(journal, found.cluster)
    return known is not None and known.aborted and not known.done and not found.hosts


def _say(journal: Journal, cluster: str, what: str, text: str, **data: object) -> None:
    journal.append(Event("bmk", f"upgrade.{what}", f"cluster {cluster} {text}", cluster, "upgrade", data=dict(data)))
