"""Exceptions that drift does not count are about something that is there."""

from __future__ import annotations

from collections.abc import Iterator

from bmk.datacenter.checks.names import ROLES
from bmk.datacenter.draft import Draft
from bmk.datacenter.problem import Problem, did_you_mean


def expected_somewhere(draft: Draft) -> Iterator[Problem]:
    """Names of hosts, racks, roles, profiles and clusters."""
    racks = frozenset(host.rack for host in draft.hosts)
    known = ROLES | racks | draft.names["host"] | draft.names["profile"] | draft.names["cluster"]
    for i, entry in enumerate(draft.expected):
        for j, name in enumerate(entry.hosts):
            if name not in known:
                what = f"there is no host, rack, role, profile or cluster {name!r}"
                yield Problem(("spec", "expected", i, "hosts", j), what, did_you_mean(name, known))
