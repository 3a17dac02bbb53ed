"""YAML as bmk reads and writes it: values without surprises, and the position of any of them.

Scalars stay the text that was written (only an unquoted `null`, `~` or nothing is None); the models turn them into
numbers and addresses. So `serial: 0012` keeps its zeros, `52:54:00:12:34:56` is no base-60 number, `1.30` is no 1.3,
and `no` is no False.

Values are built from parser events, in a fifth of the time that a tree of nodes takes. Positions cost nothing until
somebody asks for one: then the text is parsed again, with its tree.

A file may come from a pull request or a bundle. So its size, depth, number of values and what its aliases repeat are
bounded before memory is spent on them, JSON's too, and a name in it never leads out of its directory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from bmk.errors import ConfigError

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
Tags = Mapping[str, Callable[[str], Any]]
Loc = Sequence[int | str]

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_MERGE = "<<"
_TRUTHS = frozenset({"y", "Y", "n", "N"})  # those that PyYAML does not quote itself
_LARGEST = 16 << 20  # bytes; 10,000 hosts take 4 MB
_MOST = 2_000_000  # values in a file; 10,000 hosts take 400,000
_REPEATED = 100_000  # values that aliases repeat
_DEEPEST = 50  # levels; a data center file has 9
_JSON_STRUCTURE = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file. `line` and `column` count from 1."""

    path: Path
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something wrong with the text itself, such as a key that stands twice."""

    mark: Mark
    what: str
    hint: str = ""


class NotYaml(ConfigError):
    """Text that is not YAML, and where it stops to be."""

    def __init__(self, path: Path, text: str, flaw: Flaw) -> None:
        lines = text.splitlines()
        line = lines[flaw.mark.line - 1] if flaw.mark.line <= len(lines) else ""
        super().__init__(f"{flaw.what}\n{excerpt(line, flaw.mark.column)}", where=str(flaw.mark))
        self.document = Document(path, text, None, (flaw,))


@dataclass(frozen=True)
class Document:
    """One YAML file. `value` holds dicts, lists, strings and None. A document with `flaws` still has a value."""

    path: Path
    text: str
    value: Any
    flaws: tuple[Flaw, ...] = field(default=())

    def locate(self, loc: Loc, *, key: bool = False) -> tuple[Mark, Loc]:
        """Where `loc` is written, or the key of its nearest parent that is, and the part of `loc` that was not found.

        `key=True` points at the key of a mapping's entry instead of its value.
        """
        entry = self._tree, self._tree
        for depth, step in enumerate(loc):
            child = _child(entry[1], step)
            if child is None:
                return self._mark(entry[0]), loc[depth:]
            entry = child
        return self._mark(entry[0 if key else 1]), ()

    def line(self, number: int) -> str:
        """The text of a line, counted from 1."""
        lines = self._lines
        return lines[number - 1] if 0 < number <= len(lines) else ""

    @cached_property
    def _lines(self) -> list[str]:
        return self.text.splitlines()

    @cached_property
    def _tree(self) -> Any:
        """None for a text that is no YAML or more than one document: flaws say so, and everything is at its top."""
        try:
            return yaml.compose(self.text, Loader=Loader)
        except yaml.YAMLError:
            return None

    def _mark(self, node: Any) -> Mark:
        at = node.start_mark if node is not None else None
        return Mark(self.path, at.line + 1, at.column + 1) if at is not None else Mark(self.path, 1, 1)


def read_document(path: Path, tags: Tags | None = None) -> Document:
    """Read a YAML file. Raises ConfigError when it cannot be read or is too large, NotYaml when it is not YAML."""
    return parse_document(_read_text(path), path, tags)


def parse_document(text: str, path: Path, tags: Tags | None = None) -> Document:
    """Parse YAML text; `path` is for messages. `tags` says what to make of `!tag` scalars; other tags are flaws."""
    _refuse_large(len(text), str(path))
    builder = _Builder(path, tags or {})
    try:
        value = builder.build(text)
    except yaml.YAMLError as error:
        raise _syntax_error(error, path, text) from error
    return Document(path, text, value, tuple(builder.flaws))


class _Writer(Dumper):  # type: ignore[misc]  # PyYAML's C class has no types
    """What JSON for Ansible writes as a mapping, a text that is no template, has a tag in YAML."""

    def mapping(self, value: dict[str, Any]) -> Any:
        if value.keys() == {"__ansible_unsafe"}:
            return self.represent_scalar("!unsafe", value["__ansible_unsafe"], style='"')
        return self.represent_dict(value)

    def words(self, value: str) -> Any:
        """Quoted where a reader of YAML 1.2, such as every program in Go, would take it for a number or a truth."""
        style = "'" if value in _TRUTHS or _is_number(value) else None
        return self.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Writer.add_representer(dict, _Writer.mapping)
_Writer.add_representer(str, _Writer.words)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text[:2] in ("0x", "0o", "0b")
    return True


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises ConfigError as `read_document` and `parse_json` do."""
    return parse_json(_read_text(path), str(path))


def parse_json(text: str | bytes, where: str) -> Any:
    """JSON within the bounds of a document. Raises ConfigError, without a word of the text, for what is none."""
    _refuse_large(len(text), where)
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        _refuse_much(decoded, where)
        return json.loads(decoded, parse_constant=_no_number)
    except ValueError as error:  # what is no UTF-8 is one, too
        place = f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ConfigError("this is not JSON", where=where, why=place) from error


def inside(directory: Path, name: str) -> Path:
    """The file that a reviewed file names, in its directory. ConfigError when `..` or a link leads out of there."""
    path = directory / name
    if not path.resolve().is_relative_to(directory.resolve()):
        raise ConfigError(
            f"{name!r} leads out of {directory}",
            where=str(directory),
            hint="name a file beside or below the data center's",
        )
    return path


def to_yaml(value: Any) -> str:
    """YAML text of plain values, keys in their order."""
    style: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "default_flow_style": False, "width": 120}
    text: str = yaml.dump(value, Dumper=_Writer, **style)
    return text


def excerpt(line: str, column: int) -> str:
    """A line with a caret below `column` (from 1), cut to what fits a terminal."""
    start = max(0, column - 60)
    shown = line[start : start + 110]
    return f"    {shown}\n    {' ' * (column - 1 - start)}^"


def _child(node: Any, step: int | str) -> tuple[Any, Any] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    if isinstance(node, yaml.MappingNode):
        return next(((k, v) for k, v in node.value if getattr(k, "value", None) == step), None)
    return None


def _read_text(path: Path) -> str:
    try:
        if not path.is_file():
            raise ConfigError("cannot read the file", where=str(path), why="no such file")
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        _refuse_large(len(data), str(path))
        return data.decode()
    except OSError as error:
        raise ConfigError("cannot read the file", where=str(path), why=str(error.strerror)) from error
    except UnicodeDecodeError as error:
        raise ConfigError("cannot read the file", where=str(path), why="it is not UTF-8 text") from error


def _refuse_large(size: int, where: str) -> None:
    if size > _LARGEST:
        raise ConfigError(
            f"the file is larger than {_LARGEST >> 20} MiB", where=where, hint="split it, one file a rack"
        )


def _refuse_much(text: str, where: str) -> None:
    """Count values and levels of JSON before any of them takes memory."""
    depth = values = 0
    for found in _JSON_STRUCTURE.finditer(text):
        mark = found[0][0]
        depth += (mark in "[{") - (mark in "]}")
        values += mark in "[{,"
        if depth > _DEEPEST:
            raise ConfigError("this JSON is nested too deeply", where=where)
        if values > _MOST:
            raise ConfigError(f"this JSON holds more than {_MOST} values", where=where)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _syntax_error(error: yaml.YAMLError, path: Path, text: str) -> NotYaml:
    at = getattr(error, "problem_mark", None)
    mark = Mark(path, at.line + 1, at.column + 1) if at is not None else Mark(path, 1, 1)
    details = (getattr(error, "context", None), getattr(error, "problem", None) or str(error))
    head = "this is more than bmk reads: " if type(error) is yaml.MarkedYAMLError else "this is not YAML: "
    return NotYaml(path, text, Flaw(mark, head + ", ".join(d for d in details if d)))


class _Builder:
    """Values from parser events. One per document."""

    def __init__(self, path: Path, tags: Tags) -> None:
        self.path, self.tags = path, tags
        self.flaws: list[Flaw] = []
        self._values = self._repeated = 0
        self._anchors: dict[str, tuple[Any, int]] = {}  # name -> its value, and how many values that is

    def build(self, text: str) -> Any:
        events = yaml.parse(text, Loader=Loader)
        next(events)
        event = next(events)
        if isinstance(event, yaml.StreamEndEvent):
            return None
        value = self._value(next(events), events, 0)
        next(events)
        if isinstance(event := next(events), yaml.DocumentStartEvent):
            self._flaw(event, "a second document starts here", "one file holds one document")
        return value

    def _value(self, event: Any, events: Iterator[Any], depth: int) -> Any:
        kind, before = type(event), self._values + self._repeated
        self._count(event)
        if kind is yaml.ScalarEvent:
            value = self._scalar(event)
        elif kind is yaml.AliasEvent:
            return self._alias(event)
        elif depth > _DEEPEST:
            raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=event.start_mark)
        elif kind is yaml.MappingStartEvent:
            value = self._mapping(events, depth + 1)
        else:
            value = self._sequence(events, depth + 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = value, self._values + self._repeated - before
        return value

    def _mapping(self, events: Iterator[Any], depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for event in events:
            if type(event) is yaml.MappingEndEvent:
                break
            key = self._key(event, events, depth)
            if key in lines:
                self._flaw(event, f"{key!r} stands twice", f"the first is on line {lines[key]}: keep one")
            lines[key] = event.start_mark.line + 1
            value = self._value(next(events), events, depth)
            if key == _MERGE and type(event) is yaml.ScalarEvent and event.implicit[0]:
                self._merge(event, mapping, value)
            else:
                mapping[key] = value
        return mapping

    def _key(self, event: Any, events: Iterator[Any], depth: int) -> str:
        if type(event) is yaml.ScalarEvent:
            self._count(event)
            return str(event.value)
        key = self._value(event, events, depth)
        if not isinstance(key, str):
            self._flaw(event, "a mapping or a list stands where a key is expected", "a key is one word")
        return key if isinstance(key, str) else ""

    def _merge(self, event: Any, mapping: dict[str, Any], value: Any) -> None:
        """A flaw; what it would give is taken all the same, so that no key is called missing because of it."""
        what = "merge keys (<<) are not read here: who reviews the file should see every value where it counts"
        self._flaw(event, what, "write these keys out; what machines have in common belongs into their profile")
        for name, shared in value.items() if isinstance(value, dict) else ():
            mapping.setdefault(name, shared)

    def _sequence(self, events: Iterator[Any], depth: int) -> list[Any]:
        items = []
        for event in events:
            if type(event) is yaml.SequenceEndEvent:
                break
            items.append(self._value(event, events, depth))
        return items

    def _scalar(self, event: Any) -> Any:
        if event.tag is not None:
            return self._tagged(event)
        if event.value in _NULL and event.implicit[0]:
            return None
        return event.value

    def _tagged(self, event: Any) -> Any:
        if event.tag in self.tags:
            return self.tags[event.tag](event.value)
        if event.tag != "tag:yaml.org,2002:str":
            self._flaw(event, f"the tag {event.tag} means nothing here", "write the value without a tag")
        return event.value

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            self._flaw(event, f"there is no anchor &{event.anchor} above", "")
            return None
        value, size = self._anchors[event.anchor]
        self._repeated += size
        if self._repeated > _REPEATED:
            problem = f"aliases repeat more than {_REPEATED} values"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        return value

    def _count(self, event: Any) -> None:
        self._values += 1
        if self._values > _MOST:
            raise yaml.MarkedYAMLError(problem=f"more than {_MOST} values", problem_mark=event.start_mark)

    def _flaw(self, event: Any, what: str, hint: str) -> None:
        mark = event.start_mark
        self.flaws.append(Flaw(Mark(self.path, mark.line + 1, mark.column + 1), what, hint))
