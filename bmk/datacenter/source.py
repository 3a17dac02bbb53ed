"""The files that a data center is written in: dc.yml, files of racks, and the addresses.yml beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmk.document import Document, Flaw, Loc, Mark, NotYaml, read_document
from bmk.errors import ConfigError

ADDRESSES = "addresses.yml"
_RACKS = ("spec", "racks")


@dataclass(frozen=True)
class Source:
    """All documents of one data center. Problems of addresses.yml have a loc that starts with its name."""

    main: Document
    racks: Mapping[str, Document]
    addresses: Document | None
    missing: Mapping[str, str]  # rack -> why its file cannot be read

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


def read_source(path: Path) -> Source:
    """Read dc.yml and what belongs to it. What is not YAML becomes a flaw. Raises ConfigError for unreadable files."""
    main = _read(path)
    racks: dict[str, Document] = {}
    missing: dict[str, str] = {}
    for name, file in _rack_files(main.value):
        if not (path.parent / file).is_file():
            missing[name] = file
            continue
        racks[name] = _read(path.parent / file)
    addresses = path.parent / ADDRESSES
    return Source(main, racks, _read(addresses) if addresses.is_file() else None, missing)


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
