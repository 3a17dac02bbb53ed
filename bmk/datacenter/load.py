"""A data center from its files: read, checked, resolved. Problems are found in one go, with their places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bmk.datacenter.checks import CHECKS
from bmk.datacenter.checks.addressing import missing_allocations
from bmk.datacenter.draft import Allocations, Draft, draft_of, draft_of_broken
from bmk.datacenter.locate import find_datacenter
from bmk.datacenter.model import DataCenterFile
from bmk.datacenter.problems import InvalidDataCenter, Problem, did_you_mean, locate, shape_problems
from bmk.datacenter.resolve import DataCenter, build_hosts
from bmk.datacenter.source import (
    ADDRESSES,
    NEWEST,
    NO_RACKS,
    OLDEST,
    Missing,
    SourceFiles,
    lock_path,
    locked_versions,
    read_source,
    require_mapping,
)
from bmk.errors import ConfigError
from bmk.paths import state_dir


@dataclass(frozen=True, slots=True)
class Examined:
    """What was read: the model (None when its shape is wrong), the well-formed parts, and all problems."""

    source: SourceFiles
    file: DataCenterFile | None
    draft: Draft
    problems: tuple[Problem, ...]

    def require_good(self, further: Iterable[Problem] = ()) -> DataCenterFile:
        """The model. Raises InvalidDataCenter with every problem when there is one."""
        problems = [*self.problems, *further]
        if problems or self.source.flaws() or self.file is None:
            raise InvalidDataCenter(_name(self.source), locate(self.source, problems))
        return self.file


def load_datacenter(ref: str | Path, *, versions: Set[str] | None = None) -> DataCenter:
    """Load the data center that `ref` names (a name below inventories/, a directory or a file).

    `versions` are the Kubernetes versions that can be installed; by default those of the lock file (any, without one).
    Raises ConfigError: InvalidDataCenter with every problem when the files can be read and are wrong.
    """
    examined = examine(ref, versions=versions)
    file = examined.require_good()
    examined.require_good(missing_allocations(examined.draft))
    name, hosts = file.metadata.name, build_hosts(file.spec, examined.draft.allocations)
    return DataCenter(name, examined.source.path, file.spec, hosts, state_dir(name))


def examine(ref: str | Path, *, versions: Set[str] | None = None) -> Examined:
    """Read a data center and find every problem but missing allocations. Raises ConfigError when it is not there."""
    source = read_source(find_datacenter(ref))
    require_mapping(source.main)
    if source.main.value is None:
        raise InvalidDataCenter(source.path.parent.name, locate(source, []))
    file, draft, problems = _shape(source)
    problems += [problem for check in CHECKS for problem in check(draft)]
    problems += _version_problems(draft, locked_versions(source) if versions is None else versions)
    if file is not None:
        problems += _lock_problems(source)
    return Examined(source, file, draft, tuple(problems))


def _version_problems(draft: Draft, locked: Set[str]) -> Iterator[Problem]:
    """Clusters whose version bmk does not support, or the lock does not have. An empty `locked` has every version."""
    for name, cluster in draft.clusters.items():
        version = cluster.kubernetes.version
        loc = ("spec", "clusters", name, "kubernetes", "version")
        if not OLDEST <= int(version.split(".")[1]) <= NEWEST:
            yield Problem(loc, f"Kubernetes {version} is outside what this bmk supports", f"1.{OLDEST} to 1.{NEWEST}")
        elif locked and version not in locked:
            yield Problem(loc, f"Kubernetes {version} is not in the lock file", did_you_mean(version, locked))


def _lock_problems(source: SourceFiles) -> Iterator[Problem]:
    """A lock file that is named and does not exist, or lies outside of the directory."""
    try:
        lock_path(source.path, source.lock_name)
    except ConfigError as error:
        yield Problem(("spec", "artifacts"), error.what, error.hint)


def _shape(source: SourceFiles) -> tuple[DataCenterFile | None, Draft, list[Problem]]:
    allocations, problems = _allocations(source)
    problems += [_missing_rack(source, name, file) for name, file in source.missing.items()]
    tree = source.tree()
    try:
        file = DataCenterFile.model_validate(tree)
    except ValidationError as error:
        return None, draft_of_broken(tree, allocations), [*problems, *shape_problems(error)]
    return file, draft_of(file.spec, allocations), problems


def _allocations(source: SourceFiles) -> tuple[Allocations, list[Problem]]:
    value = source.addresses.value if source.addresses else None
    try:
        return Allocations.model_validate(value or {}), []
    except ValidationError as error:
        found = shape_problems(error, Allocations)
        return Allocations(), [Problem((ADDRESSES, *p.loc), p.what, p.hint, p.key) for p in found]


def _missing_rack(source: SourceFiles, rack: str, missing: Missing) -> Problem:
    loc = ("spec", "racks", rack, "hosts")
    if missing.why:
        return Problem(loc, missing.why, "a file of hosts lies beside dc.yml or below, such as hosts/r1.yml")
    directory = source.path.parent
    files = [file for pattern in ("*.yml", "*/*.yml") for file in directory.glob(pattern) if file.name not in NO_RACKS]
    hint = did_you_mean(missing.file, [str(file.relative_to(directory)) for file in files])
    return Problem(loc, f"there is no file {missing.file!r}", hint)


def _name(source: SourceFiles) -> str:
    metadata: Any = source.main.value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return str(name or source.path.parent.name)
