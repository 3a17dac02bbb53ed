"""YAML as bmk reads and writes it: values without surprises, and the position of any of them.

Scalars stay the text that was written (only an unquoted `null`, `~` or nothing is None); the models turn them into
numbers and addresses. So `serial: 0012` keeps its zeros, `52:54:00:12:34:56` is no base-60 number, `1.30` is no 1.3,
and `no` is no False.

Values are built from parser events, in a fifth of the time that a tree of nodes takes. Positions cost nothing until
somebody asks for one: then the text is parsed again, with its tree.
"""

from __future__ import annotations

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
_DEEPEST = 50  # levels; a data center file has 9


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
                return self._mark(entry[0].start_mark), loc[depth:]
            entry = child
        return self._mark(entry[0 if key else 1].start_mark), ()

    def line(self, number: int) -> str:
        """The text of a line, counted from 1."""
        lines = self._lines
        return lines[number - 1] if 0 < number <= len(lines) else ""

    @cached_property
    def _lines(self) -> list[str]:
        return self.text.splitlines()

    @cached_property
    def _tree(self) -> Any:
        return yaml.compose(self.text, Loader=Loader)

    def _mark(self, mark: Any) -> Mark:
        return Mark(self.path, mark.line + 1, mark.column + 1)


def read_document(path: Path, tags: Tags | None = None) -> Document:
    """Read a YAML file. Raises ConfigError when it cannot be read, NotYaml when it is not YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError("cannot read the file", where=str(path), why=str(reason)) from error
    return parse_document(text, path, tags)


def parse_document(text: str, path: Path, tags: Tags | None = None) -> Document:
    """Parse YAML text; `path` is for messages. `tags` says what to make of `!tag` scalars; other tags are flaws."""
    builder = _Builder(path, tags or {})
    try:
        value = builder.build(text)
    except yaml.YAMLError as error:
        raise _syntax_error(error, path, text) from error
    return Document(path, text, value, tuple(builder.flaws))


class _Writer(Dumper):  # type: ignore[misc]
    """What JSON for Ansible writes as a mapping, a text that is no template, has a tag in YAML."""

    def mapping(self, value: dict[str, Any]) -> Any:
        if value.keys() == {"__ansible_unsafe"}:
            return self.represent_scalar("!unsafe", value["__ansible_unsafe"], style='"')
        return self.represent_dict(value)


_Writer.add_representer(dict, _Writer.mapping)


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


def _syntax_error(error: yaml.YAMLError, path: Path, text: str) -> NotYaml:
    at = getattr(error, "problem_mark", None)
    mark = Mark(path, at.line + 1, at.column + 1) if at is not None else Mark(path, 1, 1)
    details = (getattr(error, "context", None), getattr(error, "problem", None) or str(error))
    return NotYaml(path, text, Flaw(mark, "this is not YAML: " + ", ".join(d for d in details if d)))


class _Builder:
    """Values from parser events. One per document."""

    def __init__(self, path: Path, tags: Tags) -> None:
        self.path, self.tags = path, tags
        self.flaws: list[Flaw] = []
        self._anchors: dict[str, Any] = {}

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
        kind = type(event)
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
            self._anchors[event.anchor] = value
        return value

    def _mapping(self, events: Iterator[Any], depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for event in events:
            if type(event) is yaml.MappingEndEvent:
                break
            key = event.value if type(event) is yaml.ScalarEvent else str(self._value(event, events, depth))
            if key in mapping:
                self._flaw(event, f"{key!r} stands twice", f"the first is on line {lines[key]}: keep one")
            lines[key] = event.start_mark.line + 1
            mapping[key] = self._value(next(events), events, depth)
        return mapping

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
        return self._anchors.get(event.anchor)

    def _flaw(self, event: Any, what: str, hint: str) -> None:
        mark = event.start_mark
        self.flaws.append(Flaw(Mark(self.path, mark.line + 1, mark.column + 1), what, hint))
