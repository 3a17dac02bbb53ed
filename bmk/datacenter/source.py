"""The files that a data center is written in: dc.yml, files of racks, addresses.yml and the lock file beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmk.document import Document, Flaw, Loc, Mark, NotYaml, inside, read_document
from bmk.errors import ConfigError

ADDRESSES = "addresses.yml"
NO_RACKS = ("dc.yml", ADDRESSES, "secrets.yml")
_RACKS = ("spec", "racks")
_SHIPPED = Path(__file__).resolve().parent.parent / "artifacts" / "artifacts.lock"
DEFAULT_LOCK = "artifacts.lock"
OLDEST, NEWEST = 34, 37  # minors of Kubernetes 1.x that bmk's roles and images are made for


@dataclass(frozen=True, slots=True)
class Missing:
    """A file that a rack names and that was not read: it does not exist, or (`why`) it may not be read."""

    file: str
    why: str = ""


@dataclass(frozen=True)
class SourceFiles:
    """All documents of one data center. Problems of addresses.yml have a loc that starts with its name."""

    main: Document
    racks: Mapping[str, Document]
    addresses: Document | None
    missing: Mapping[str, Missing]  # by rack

    @property
    def path(self) -> Path:
        return self.main.path

    @property
    def addresses_path(self) -> Path:
        return self.path.parent / ADDRESSES

    @property
    def lock_name(self) -> str:
        """What spec.artifacts says, or the default. The shape of the file need not be right."""
        spec = self.main.value.get("spec") if isinstance(self.main.value, dict) else None
        return str((spec.get("artifacts") if isinstance(spec, dict) else None) or DEFAULT_LOCK)

    def tree(self) -> Any:
        """The value of dc.yml with the lists of rack files put in. Nothing is checked here, not even its shape."""
        value = self.main.value
        if not self.racks and not self.missing:
            return value
        racks = dict(value["spec"]["racks"])
        for name, document in self.racks.items():
            racks[name] = {**racks[name], "hosts": [] if document.value is None else document.value}
        for name in self.missing:
            racks[name] = {**racks[name], "hosts": []}
        return {**value, "spec": {**value["spec"], "racks": racks}}

    def locate(self, loc: Loc, *, key: bool = False) -> tuple[Mark, Loc]:
        """Where `loc` is written, across the files; see `Document.locate`."""
        if loc and loc[0] == ADDRESSES:
            if self.addresses is None:
                return Mark(self.path, 1, 1), loc
            return self.addresses.locate(loc[1:], key=key)
        rack = self.racks.get(str(loc[2])) if len(loc) >= 4 and tuple(loc[:2]) == _RACKS and loc[3] == "hosts" else None
        if rack is not None:
            return rack.locate(loc[4:], key=key)
        return self.main.locate(loc, key=key)

    def line(self, mark: Mark) -> str:
        return next((d.line(mark.line) for d in self._documents() if d.path == mark.path), "")

    def flaws(self) -> list[Flaw]:
        return [flaw for document in self._documents() for flaw in document.flaws]

    def _documents(self) -> Iterator[Document]:
        yield self.main
        yield from self.racks.values()
        if self.addresses is not None:
            yield self.addresses


def read_source(path: Path) -> SourceFiles:
    """Read dc.yml and what belongs to it, all of it in one directory.

    What is not YAML becomes a flaw. Raises ConfigError for dc.yml and addresses.yml that cannot be read.
    """
    main = _read(inside(path.parent, path.name))
    racks: dict[str, Document] = {}
    missing: dict[str, Missing] = {}
    for name, file in _rack_files(main.value):
        try:
            if file in NO_RACKS or not file.endswith((".yml", ".yaml")):  # an error shows the line, and with it secrets
                raise ConfigError(f"{file!r} is not a file of hosts, such as hosts/r1.yml")
            there = inside(path.parent, file)
            if there.is_file():
                racks[name] = _read(there)
            else:
                missing[name] = Missing(file)
        except ConfigError as error:
            missing[name] = Missing(file, error.what)
    addresses = path.parent / ADDRESSES
    known = _read(inside(path.parent, ADDRESSES)) if addresses.is_file() else None
    return SourceFiles(main, racks, known, missing)


def _read(path: Path) -> Document:
    try:
        return read_document(path)
    except NotYaml as error:
        return error.document


def _rack_files(value: Any) -> Iterator[tuple[str, str]]:
    try:
        racks = value["spec"]["racks"].items()
    except (KeyError, TypeError, AttributeError):
        return
    for name, rack in racks:
        hosts = rack.get("hosts") if isinstance(rack, dict) else None
        if isinstance(hosts, str):
            yield name, hosts


def require_mapping(main: Document) -> None:
    """Raise ConfigError when dc.yml is empty or a list: problems could not be located in it."""
    if not isinstance(main.value, dict) and not main.flaws:
        raise ConfigError(
            "a data center file is a mapping that starts with apiVersion: bmk.dev/v1",
            where=str(main.path),
            hint="bmk init NAME writes a file to start from",
        )


def locked_versions(source: SourceFiles) -> frozenset[str]:
    """Kubernetes versions of the data center's lock file; empty when there is none that can be read."""
    try:
        return _versions(lock_path(source.path, source.lock_name))
    except ConfigError:
        return frozenset()  # loading the data center, or its lock file, says why


def newest_version() -> str:
    """The newest Kubernetes version of the lock file that bmk ships."""
    return max(_versions(_SHIPPED), key=lambda v: [int(part) for part in v.split(".")], default=f"1.{NEWEST}.0")


def lock_path(dc_file: Path, name: str) -> Path:
    """The lock file of a data center: beside its file, or the one that bmk ships.

    Raises ConfigError when another one than the default is named and not there, or leads out of the directory.
    """
    beside = inside(dc_file.parent, name)
    if not beside.is_file() and name != DEFAULT_LOCK:
        raise ConfigError(
            f"there is no lock file {name!r}", where=str(dc_file), hint=f"leave spec.artifacts out, or copy {_SHIPPED}"
        )
    return beside if beside.is_file() else _SHIPPED


def _versions(lock: Path) -> frozenset[str]:
    return frozenset(_kubernetes_versions(read_document(lock).value)) if lock.is_file() else frozenset()


def _kubernetes_versions(value: Any) -> Iterator[str]:
    """Every version beside Kubernetes' module path, at any depth of the lock."""
    if not isinstance(value, dict):
        return
    if value.get("module") == "k8s.io/kubernetes" and isinstance(value.get("version"), str):
        yield value["version"].removeprefix("v")
    for item in value.values():
        yield from _kubernetes_versions(item)
