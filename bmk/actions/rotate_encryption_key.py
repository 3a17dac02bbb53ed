"""`bmk certs rotate-encryption-key`: another key of secrets at rest, on control planes one after the other.

An order is on record before anything happens. Nothing is put on a host before its cluster's control planes all serve.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from bmk.engine.action import Action
from bmk.journal import Journal
from bmk.journal.records import KeyRotationOrder
from bmk.phases.encryption_key import KeyAdded, KeyDropped, KeyFirst, SecretsRewritten

ROTATE = Action("certs rotate-encryption-key", (KeyAdded(), KeyFirst(), SecretsRewritten(), KeyDropped()))


def rotation_orders(journal: Journal, clusters: Sequence[str], accepted: str = "") -> dict[str, KeyRotationOrder]:
    """What these clusters are to do: go on with what was begun, or begin. `accepted`: see KeyRotationOrder."""
    before, fresh = KeyRotationOrder.load_all(journal), KeyRotationOrder(at=time.time())
    found = {name: before.get(name) or fresh for name in clusters}
    return {name: o.model_copy(update={"accepted": accepted or o.accepted}) for name, o in found.items()}


def order_rotation(journal: Journal, orders: Mapping[str, KeyRotationOrder]) -> None:
    """Write them down, all or none."""
    with journal.transaction():
        for name, order in orders.items():
            order.save(journal, name)


def withdraw_rotation(journal: Journal, clusters: Sequence[str]) -> None:
    """Take orders back of which nothing was begun."""
    before = KeyRotationOrder.load_all(journal)
    with journal.transaction():
        for name in clusters:
            if name in before and not before[name].texts:
                KeyRotationOrder.drop(journal, name)
