"""Which Kubernetes versions a data center may name: those bmk supports, and those the lock file pins."""

from __future__ import annotations

from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

from bmk.datacenter.draft import Draft
from bmk.datacenter.problem import Problem, did_you_mean
from bmk.datacenter.source import SourceFiles
from bmk.document import inside, read_document
from bmk.errors import ConfigError

_SHIPPED = Path(__file__).resolve().parent.parent / "artifacts" / "artifacts.lock"
DEFAULT = "artifacts.lock"
OLDEST, NEWEST = 34, 37  # minors of Kubernetes 1.x that bmk's roles and images are made for


def version_problems(draft: Draft, locked: Set[str]) -> Iterator[Problem]:
    """Clusters whose version bmk does not support, or the lock does not have. An empty `locked` has every version."""
    for name, cluster in draft.clusters.items():
        version = cluster.kubernetes.version
        loc = ("spec", "clusters", name, "kubernetes", "version")
        if not OLDEST <= int(version.split(".")[1]) <= NEWEST:
            yield Problem(loc, f"Kubernetes {version} is outside what this bmk supports", f"1.{OLDEST} to 1.{NEWEST}")
        elif locked and version not in locked:
            yield Problem(loc, f"Kubernetes {version} is not in the lock file", did_you_mean(version, locked))


def lock_problems(source: SourceFiles) -> Iterator[Problem]:
    """A lock file that is named and is not there, or is none of this data center's."""
    try:
        lock_path(source.path, _named(source.main.value))
    except ConfigError as error:
        yield Problem(("spec", "artifacts"), error.what, error.hint)


def locked_versions(source: SourceFiles) -> frozenset[str]:
    """Kubernetes versions of the data center's lock file; empty when there is none that can be read."""
    try:
        return _versions(lock_path(source.path, _named(source.main.value)))
    except ConfigError:
        return frozenset()  # `lock_problems`, or whoever loads it, tells why


def newest_version() -> str:
    """The newest Kubernetes version of the lock file that bmk ships."""
    return max(_versions(_SHIPPED), key=lambda v: [int(part) for part in v.split(".")], default=f"1.{NEWEST}.0")


def lock_path(dc_file: Path, name: str) -> Path:
    """The lock file of a data center: beside its file, or the one that bmk ships.

    Raises ConfigError when another one than the default is named and not there, or leads out of the directory.
    """
    beside = inside(dc_file.parent, name)
    if not beside.is_file() and name != DEFAULT:
        raise ConfigError(
            f"there is no lock file {name!r}", where=str(dc_file), hint=f"leave spec.artifacts out, or copy {_SHIPPED}"
        )
    return beside if beside.is_file() else _SHIPPED


def _versions(lock: Path) -> frozenset[str]:
    return frozenset(_kubernetes_versions(read_document(lock).value)) if lock.is_file() else frozenset()


def _named(value: Any) -> str:
    spec = value.get("spec") if isinstance(value, dict) else None
    return str((spec.get("artifacts") if isinstance(spec, dict) else None) or DEFAULT)


def _kubernetes_versions(value: Any) -> Iterator[str]:
    """Every version that stands beside the module of Kubernetes, wherever in the lock that is."""
    if not isinstance(value, dict):
        return
    if value.get("module") == "k8s.io/kubernetes" and isinstance(value.get("version"), str):
        yield value["version"].removeprefix("v")
    for item in value.values():
        yield from _kubernetes_versions(item)
