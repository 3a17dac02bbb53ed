"""Versions of Kubernetes: the way from one to another, and which may run beside which. Pure.

https://kubernetes.io/releases/version-skew-policy: a control plane moves one minor version at a time, and a kubelet is
never newer than an API server that it talks to, and at most three minor versions older.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

LAG = 3  # minor versions by which a kubelet may be older than its API servers
_VERSION = re.compile(r"v?(1)\.(\d{1,3})\.(\d{1,3})", re.ASCII)


class Version(NamedTuple):
    """A release such as 1.37.2; sorts by age."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


class NoWay(ValueError):
    """There is no way from one version to the other; the text says why."""


def version(text: str) -> Version | None:
    """Of `v1.37.2` or `1.37.2`; None for anything else, as a node may say."""
    found = _VERSION.fullmatch(text)
    return Version(*map(int, found.groups())) if found else None


def path(have: Version, want: Version, known: Iterable[Version]) -> list[Version]:
    """The versions to go through, the last is `want`; [] when there is nothing to do.

    Each step ends at most one minor version further; between, the newest patch of `known` is taken. Raises NoWay.
    """
    if want == have:
        return []
    if want < have:
        raise NoWay(f"{want} is older than {have}, and Kubernetes cannot go back: etcd keeps what newer servers wrote")
    if want not in (known := set(known)):
        raise NoWay(f"the lock has no Kubernetes {want}, only {', '.join(map(str, sorted(known))) or 'none'}")
    newest = {(v.major, v.minor): v for v in sorted(known)}
    steps = [newest.get((have.major, minor)) for minor in range(have.minor + 1, want.minor)]
    if None in steps:
        missing = have.minor + 1 + steps.index(None)
        raise NoWay(f"from {have} to {want} it goes by {have.major}.{missing}, of which the lock has no release")
    return [v for v in (*steps, want) if v is not None]


def skew(kubelet: Version, server: Version) -> str:
    """Why a kubelet may not talk to an API server; "" when it may."""
    if kubelet > server:
        return f"its kubelet {kubelet} is newer than an API server, {server}"
    if server.minor - kubelet.minor > LAG:
        return f"its kubelet {kubelet} is more than {LAG} minor versions older than {server}"
    return ""
