"""The files that a data center is written in: dc.yml, files of racks, and the addresses.yml beside it."""

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


@dataclass(frozen=True, slots=True)
class Missing:
    """A file that a rack names and that is not read: there is none, or (`why`) it is none of this data center's."""

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

    def tree(self) -> Any:
        """The value of dc.yml with the lists of rack files put in. Nothing is checked here, not even its shape."""
        value = self.main.value
        if not self.racks and not self.missing:
            return value
        racks = {name: self._rack(name, rack) for name, rack in value["spec"]["racks"].items()}
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

    def _rack(self, name: str, rack: Any) -> Any:
        if name in self.racks:
            return {**rack, "hosts": _listed(self.racks[name])}
        return {**rack, "hosts": []} if name in self.missing else rack


def read_source(path: Path) -> SourceFiles:
    """Read dc.yml and what belongs to it, all of it in one directory.

    What is not YAML becomes a flaw. Raises ConfigError for dc.yml and addresses.yml that cannot be read.
    """
    main = _read(inside(path.parent, path.name))
    racks: dict[str, Document] = {}
    missing: dict[str, Missing] = {}
    for name, file in _rack_files(main.value):
        try:
            there = _rack_file(path.parent, file)
            if there.is_file():
                racks[name] = _read(there)
            else:
                missing[name] = Missing(file)
        except ConfigError as error:
            missing[name] = Missing(file, error.what)
    addresses = path.parent / ADDRESSES
    known = _read(inside(path.parent, ADDRESSES)) if addresses.is_file() else None
    return SourceFiles(main, racks, known, missing)


def _rack_file(directory: Path, file: str) -> Path:
    """A list of hosts, and no other file: what is wrong with a file is shown with its line, secrets among it."""
    if file in NO_RACKS or not file.endswith((".yml", ".yaml")):
        raise ConfigError(f"{file!r} is not a file of hosts, such as hosts/r1.yml")
    return inside(directory, file)


def _listed(rack: Document) -> Any:
    return [] if rack.value is None else rack.value


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
    """Raise ConfigError when dc.yml is empty or a list: there is nothing to hang problems on."""
    if not isinstance(main.value, dict) and not main.flaws:
        raise ConfigError(
            "a data center file is a mapping that starts with apiVersion: bmk.dev/v1",
            where=str(main.path),
            hint="bmk init NAME writes a file to start from",
        )
