"""What a rotation of encryption keys has to see besides what every action sees: the keys of control planes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from bmk.datacenter.resolve import DataCenter
from bmk.engine.services import Services
from bmk.journal import Journal
from bmk.journal.records import KeyRotationOrder
from bmk.phases.encryption_key import joined_planes, keys_seen
from bmk.plan.actual import ClusterActual, Observation


def keys_look(
    dc: DataCenter, journal: Journal, services: Services, orders: Mapping[str, KeyRotationOrder]
) -> Callable[[Observation], Observation]:
    """Adds to an observation what the control planes of clusters with an order have. A cluster without any has nothing
    to rotate.
    """

    def look(seen: Observation) -> Observation:
        found = {}
        for name, order in orders.items():
            planes = joined_planes(journal, name, dc.members(name))
            keys = keys_seen(services, journal, planes, order, dc.name) if planes else None
            found[name] = replace(seen.clusters.get(name, ClusterActual()), encryption=keys)
        return Observation(seen.hosts, {**seen.clusters, **found})

    return look
