"""A data center from its files: read, checked, resolved. Every problem is found in one go, with its file, line and column."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bmk.datacenter.checks import CHECKS
from bmk.datacenter.draft import Allocations, Draft, draft_of, draft_of_broken
from bmk.datacenter.locate import find_datacenter
from bmk.datacenter.membership import build_hosts
from bmk.datacenter.model import DataCenterFile
from bmk.datacenter.problem import InvalidDataCenter, Problem, did_you_mean, locate
from bmk.datacenter.resolve import DataCenter
from bmk.datacenter.shape import shape_problems
from bmk.datacenter.source import ADDRESSES, Source, read_source, require_mapping
from bmk.datacenter.versions import locked_versions, version_problems


def load_datacenter(ref: str | Path, *, versions: Set[str] | None = None) -> DataCenter:
    """Load the data center that `ref` names (a name below inventories/, a directory or a file).

    `versions` are the Kubernetes versions that can be installed; by default those of the lock file, any where there is none.
    Raises ConfigError: InvalidDataCenter with every problem when the files can be read and are wrong.
    """
    source = read_source(find_datacenter(ref))
    require_mapping(source.main)
    file, draft, problems = examine(source)
    problems += [p for check in CHECKS for p in check(draft)]
    problems += version_problems(draft, locked_versions(source) if versions is None else versions)
    if problems or source.flaws() or file is None:
        raise InvalidDataCenter(_name(source), locate(source, problems))
    return DataCenter(file.metadata.name, source.path, file.spec, build_hosts(file.spec, draft.allocations))


def examine(source: Source) -> tuple[DataCenterFile | None, Draft, list[Problem]]:
    """The shape of a data center: its model (None when it is wrong), what of it is usable, and what is wrong with it."""
    allocations, problems = _allocations(source)
    problems += [_missing_rack(source, name, file) for name, file in source.missing.items()]
    tree = source.tree()
    try:
        file = DataCenterFile.model_validate(tree)
    except ValidationError as error:
        return None, draft_of_broken(tree, allocations), [*problems, *shape_problems(error)]
    return file, draft_of(file.spec, allocations), problems


def _allocations(source: Source) -> tuple[Allocations, list[Problem]]:
    value = source.addresses.value if source.addresses else None
    try:
        return Allocations.model_validate(value or {}), []
    except ValidationError as error:
        found = shape_problems(error, Allocations)
        return Allocations(), [Problem((ADDRESSES, *p.loc), p.what, p.hint, p.key) for p in found]


def _missing_rack(source: Source, rack: str, file: str) -> Problem:
    there = [str(p.relative_to(source.path.parent)) for p in source.path.parent.rglob("*.yml")]
    return Problem(("spec", "racks", rack, "hosts"), f"there is no file {file!r}", did_you_mean(file, there))


def _name(source: Source) -> str:
    metadata: Any = source.main.value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return str(name or source.path.parent.name)
