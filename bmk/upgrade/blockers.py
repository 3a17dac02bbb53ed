"""What keeps an upgrade from beginning, told from what was seen of a cluster. Pure; each rule is a function."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bmk.upgrade.model import Accepted, Blocker, HostUpgrade, UpgradeEvidence, UpgradeMember
from bmk.upgrade.versions import Version, skew, version

OLDEST_BACKUP = 7 * 86400.0  # seconds; whoever has none for longer has a job that fails
OPERATOR = "the operator of the cluster"


@dataclass(frozen=True, slots=True)
class Question:
    """What the rules are asked about: a cluster, the version it goes to, and the hosts of this run. `dc` as typed."""

    dc: str
    seen: UpgradeEvidence
    target: Version
    hosts: Mapping[str, HostUpgrade]

    @property
    def drained(self) -> Collection[str]:
        return [name for name, host in self.hosts.items() if host.pending and host.drains]


def blockers(asked: Question, rules: Sequence[Rule] | None = None) -> tuple[Blocker, ...]:
    """All that hold, and those that were accepted; at most one of each kind. `rules`: by default all."""
    accepted = asked.seen.standing.accepted if asked.seen.standing else {}
    return tuple(accept(found, accepted) for rule in rules or RULES for found in rule(asked))


def accept(found: Blocker, accepted: Mapping[str, Accepted]) -> Blocker:
    """With the reason of whoever accepted it, unless there is more of it now than there was."""
    known = accepted.get(found.kind)
    if known is None or not found.acceptable or not set(found.items) <= set(known.items):
        return found
    return replace(found, accepted=known.reason)


def _etcd(asked: Question) -> Iterator[Blocker]:
    """A member restarts with each control plane, and kubeadm asks all of them before.

    That of a control plane which a run left in the middle is the upgrade's own work: no other begins before it is back.
    """
    seen, begun = asked.seen, {m.name for m in asked.seen.members if m.begun and m.role == "control_plane"}
    ill = tuple(sorted(name for name, well in seen.etcd.items() if not well and name not in begun))
    if ill or not (seen.etcd or begun):
        what = f"etcd has no quorum to spare: {', '.join(ill)} not healthy" if ill else "etcd does not say who is in it"
        yield Blocker("etcd", what, OPERATOR, f"bmk status {asked.dc}", ill, acceptable=False)


def _skew(asked: Question) -> Iterator[Blocker]:
    """Nothing may be newer than what it is upgraded to, or too old for it; what cannot be read may be both."""
    wrong = {m.name: why for m in _followers(asked.seen) if (why := _misfit(m, asked.target))}
    if wrong:
        text = "; ".join(f"{name}: {why}" for name, why in wrong.items())
        yield Blocker("skew", text, OPERATOR, _without(asked, next(iter(wrong))), tuple(wrong), acceptable=False)


def _misfit(member: UpgradeMember, target: Version) -> str:
    kubelet, server = version(member.versions.kubelet), version(member.versions.api_server)
    if kubelet is None:
        return f"its kubelet is no release: {member.versions.kubelet[:40]!r}"
    if server is not None and server > target:
        return f"its API server {server} is newer than {target}"
    return skew(kubelet, target)


def _followers(seen: UpgradeEvidence) -> list[UpgradeMember]:
    """Members that are not left behind."""
    without = seen.standing.without if seen.standing else frozenset()
    return [m for m in seen.members if m.name not in without]


def _without(asked: Question, name: str) -> str:
    leave = f"bmk upgrade {asked.dc} {asked.seen.cluster} --without {name}"
    return f"bmk why {asked.dc} {name}; where it is to be installed anew anyway: {leave}"


def _nodes(asked: Question) -> Iterator[Blocker]:
    """Those that an upgrade has begun with are its own work."""
    names = tuple(m.name for m in _followers(asked.seen) if not m.versions.ready and not m.begun)
    if names:
        text = f"not Ready: {_some(names)}"
        yield Blocker("nodes", text, OPERATOR, _without(asked, names[0]), names, acceptable=False)


def _crashing(asked: Question) -> Iterator[Blocker]:
    items = tuple(f"{pod} of {m.name}" for m in asked.seen.members for pod in m.versions.crashing if not m.begun)
    if items:
        yield Blocker(
            "crashing", f"begin again and again: {', '.join(items)}", OPERATOR, f"bmk drift {asked.dc}", items
        )


def _bare_pods(asked: Question) -> Iterator[Blocker]:
    """They end with the drain of their node, and nobody makes them anew."""
    drained = asked.drained
    found = [pod for pod in asked.seen.workloads.bare if pod.node in drained]
    if found:
        items = tuple(sorted(f"{pod.namespace}/{pod.name}" for pod in found))
        text = f"pods that no controller makes anew: {_some(items)}"
        yield Blocker("bare-pods", text, _namespaces(items), f"kubectl get pods -n {found[0].namespace} -o wide", items)


def _budgets(asked: Question) -> Iterator[Blocker]:
    found = [budget for budget in asked.seen.workloads.budgets if budget.never] if asked.drained else []
    if found:
        items = tuple(sorted(f"{budget.namespace}/{budget.name}" for budget in found))
        text = f"PodDisruptionBudgets that never allow an eviction: {_some(items)}"
        one = found[0]
        yield Blocker("budgets", text, _namespaces(items), f"kubectl edit pdb -n {one.namespace} {one.name}", items)


def _deprecated(asked: Question) -> Iterator[Blocker]:
    """Asked for since the API servers began, and not there any more in the new version."""
    gone = [api for api in asked.seen.workloads.deprecated if api.removed <= asked.target.minor]
    if gone:
        items = tuple(sorted({str(api) for api in gone}))
        text = f"APIs in use that {asked.target} has not any more: {_some(items)}"
        hint = "/var/log/kubernetes/audit on the control planes names who asks for them"
        yield Blocker("deprecated-apis", text, "whoever asks for them", hint, items)


def _drift(asked: Question) -> Iterator[Blocker]:
    if asked.seen.drift:
        text = f"open drift: {_some(asked.seen.drift)}"
        yield Blocker("drift", text, OPERATOR, f"bmk drift {asked.dc} --limit {asked.seen.cluster}", asked.seen.drift)


def _certificates(asked: Question) -> Iterator[Blocker]:
    if asked.seen.certificates:
        text = f"certificates: {_some(asked.seen.certificates)}"
        yield Blocker("certificates", text, OPERATOR, f"bmk certs renew {asked.dc}", asked.seen.certificates)


def _backup(asked: Question) -> Iterator[Blocker]:
    """The run takes one before it begins; where that never worked lately, it should not be tried first today."""
    seen, command = asked.seen, f"bmk backup {asked.dc} {asked.seen.cluster}"
    if not seen.backups:
        hint = "spec.backup in dc.yml, docs/backup.md shows one; then: " + command
        yield Blocker("backup", "dc.yml says nothing of backups, so none would be taken", OPERATOR, hint)
    elif seen.backup_age is None:
        yield Blocker("backup", "no backup was ever proven", OPERATOR, command)
    elif seen.backup_age > OLDEST_BACKUP:
        days = f"{seen.backup_age / 86400:.0f}"
        yield Blocker("backup", f"the last proven backup is {days} days old", OPERATOR, command)


def _blind(asked: Question) -> Iterator[Blocker]:
    if asked.seen.blind:
        text = f"could not be looked at: {'; '.join(asked.seen.blind)}"
        yield Blocker("blind", text, OPERATOR, f"bmk status {asked.dc}", asked.seen.blind)


Rule = Callable[[Question], Iterator[Blocker]]
# Of the state of the cluster: these hold whenever something is done to it. The others are about what is begun anew.
ALWAYS: tuple[Rule, ...] = (_etcd, _skew)
RULES: tuple[Rule, ...] = (
    *ALWAYS,
    *(_nodes, _crashing, _bare_pods, _budgets, _deprecated, _drift, _certificates, _backup, _blind),
)
# Kinds that a person may take on.
ACCEPTABLE = ("crashing", "bare-pods", "budgets", "deprecated-apis", "drift", "certificates", "backup", "blind")
_SHOWN = 5


def _some(items: Collection[str]) -> str:
    shown = list(items)[:_SHOWN]
    return ", ".join(shown) + (f" and {len(items) - len(shown)} more" if len(items) > len(shown) else "")


def _namespaces(items: Collection[str]) -> str:
    return f"namespace {_some(sorted({item.partition('/')[0] for item in items}))}"
