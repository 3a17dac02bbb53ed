"""`bmk certs rotate-encryption-key`: its plan, and its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from bmk.cli.output import say

if TYPE_CHECKING:
    from bmk.datacenter.resolve import Host
    from bmk.engine.lock import RunLock
    from bmk.errors import BmkError
    from bmk.journal.records import KeyRotationOrder
    from bmk.live.workspace import Workspace
    from bmk.plan.actual import Observation


@dataclass(frozen=True, slots=True)
class RotationWish:
    """What the user asked for. `again`: the command that continues this one; `accepted`: why, without a backup."""

    again: str
    clusters: Sequence[str]
    yes: bool
    accepted: str


def plan_rotation(workspace: Workspace, wish: RotationWish) -> int:
    """Show it; nothing is written down. Raises PreflightRefused when no cluster may begin, SomeHostsFailed for some."""
    from bmk.actions.rotate_encryption_key import ROTATE, rotation_orders
    from bmk.errors import Exit, PreflightRefused, SomeHostsFailed
    from bmk.plan.show import lines

    look = _Look(workspace, rotation_orders(workspace.journal, wish.clusters, wish.accepted))
    plan, _ = workspace.plan(_hosts(workspace, wish), ROTATE, look)
    click.echo("\n".join(lines(plan, workspace.dc.hosts, verbose=True)))
    if look.refused:
        kind = PreflightRefused if len(look.refused) == len(wish.clusters) else SomeHostsFailed
        raise look.error(kind, "the encryption key would be left alone")
    return Exit.OK if plan.empty else Exit.PENDING


def rotate(workspace: Workspace, wish: RotationWish, lock: RunLock) -> int:
    """The exit code. An order of which nothing was begun is taken back when nobody agreed."""
    from bmk.actions.rotate_encryption_key import ROTATE, order_rotation, rotation_orders, withdraw_rotation
    from bmk.cli.running import RunRequest, run_action
    from bmk.errors import ConfigError, Declined, PreflightRefused, SomeHostsFailed
    from bmk.journal.records import KeyRotationOrder

    hosts, journal = _hosts(workspace, wish), workspace.journal
    new = [name for name in wish.clusters if KeyRotationOrder.load(journal, name) is None]
    orders = rotation_orders(journal, wish.clusters, wish.accepted)
    look = _Look(workspace, orders)
    order_rotation(journal, orders)
    try:
        code = run_action(workspace, ROTATE, hosts, RunRequest(wish.again, wish.yes, (), look=look), lock)
    except (Declined, PreflightRefused, ConfigError):
        withdraw_rotation(journal, new)
        raise
    finally:
        left = [name for name in wish.clusters if (order := KeyRotationOrder.load(journal, name)) and order.texts]
        if left:
            say(f"under way: {', '.join(left)}; every secret can be read; {wish.again} continues")
    if look.blind:  # nothing was planned for these: their control planes said nothing
        withdraw_rotation(journal, new)
        raise look.error(SomeHostsFailed, f"not looked at: {', '.join(look.blind)}")
    return code


def _hosts(workspace: Workspace, wish: RotationWish) -> list[Host]:
    """Members of the clusters. Raises ConfigError when there is no such cluster."""
    from bmk.errors import ConfigError

    dc = workspace.dc
    for name in wish.clusters:
        if name not in dc.spec.clusters:
            known = ", ".join(dc.spec.clusters) or "none"
            raise ConfigError(f"there is no cluster {name!r} in {dc.name}", why=f"clusters: {known}")
    return [host for name in wish.clusters for host in dc.members(name)]


class _Look:
    """Adds what this action has to see, and remembers what is in the way of which cluster.

    `refused`: why, and the next command; `blind`: clusters no control plane of which said anything.
    """

    def __init__(self, workspace: Workspace, orders: Mapping[str, KeyRotationOrder]) -> None:
        from bmk.live.observe_encryption import keys_look

        self._look = keys_look(workspace.dc, workspace.journal, workspace.services, orders)
        self.refused, self.blind = dict[str, tuple[str, str]](), list[str]()

    def __call__(self, before: Observation) -> Observation:
        seen = self._look(before)
        known = {name: c.encryption for name, c in seen.clusters.items() if c.encryption is not None}
        self.refused = {name: (keys.refused, keys.hint) for name, keys in known.items() if keys.refused}
        self.blind = [name for name, keys in known.items() if not keys.planes]
        return seen

    def error(self, kind: type[BmkError], what: str) -> BmkError:
        why = "\n".join(f"{name}: {why}" for name, (why, _) in self.refused.items())
        return kind(what, why=why, hint=next(iter(self.refused.values()))[1])
