"""What is wrong with a data center file: each problem with its place, and pydantic's errors in the file's own words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from ipaddress import IPv4Network
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from bmk.datacenter.model import DataCenterFile
from bmk.datacenter.scalars import MEANINGS, suggest_spelling
from bmk.datacenter.source import SourceFiles
from bmk.document import Loc, Mark, excerpt
from bmk.errors import ConfigError

_SHOWN = 50  # problems printed in full


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong at `loc` (keys and indices from the top of the file).

    `key`: the key is at fault, not its value. `other`: the place that it clashes with.
    """

    loc: Loc
    what: str
    hint: str = ""
    key: bool = False
    other: Loc = ()


@dataclass(frozen=True, slots=True)
class Located:
    """A problem with its place, ready to print or to be written as JSON."""

    path: str
    line: int
    column: int
    what: str
    hint: str
    text: str

    def __str__(self) -> str:
        parts = [f"{self.path}:{self.line}:{self.column}: {self.what}", excerpt(self.text, self.column)]
        return "\n".join([*parts, *([f"  next: {self.hint}"] if self.hint else [])])


class InvalidDataCenter(ConfigError):
    """Everything that is wrong with a data center file, in the order of its lines."""

    def __init__(self, name: str, problems: Sequence[Located]) -> None:
        blocks = [str(p) for p in problems[:_SHOWN]]
        if len(problems) > _SHOWN:
            blocks.append(f"... and {len(problems) - _SHOWN} more")
        count = f"{counted(len(problems), 'problem')} in the data center {name}"
        super().__init__("\n".join([count, *blocks]))
        self.problems = tuple(problems)

    def as_dicts(self) -> list[dict[str, Any]]:
        """For `-o json`."""
        return [asdict(p) for p in self.problems]


def locate(source: SourceFiles, problems: Iterable[Problem]) -> list[Located]:
    """Give every problem its file, line and column, sorted by them; flaws of the text itself come along."""
    found = []
    for p in problems:
        what = f"{p.what} at {source.locate(p.other)[0]}" if p.other else p.what
        found.append(_located(source, source.locate(p.loc, key=p.key)[0], what, p.hint))
    found += [_located(source, flaw.mark, flaw.what, flaw.hint) for flaw in source.flaws()]
    return sorted(set(found), key=lambda p: (p.path, p.line, p.column, p.what))


def did_you_mean(wrong: str, names: Iterable[str], otherwise: str = "") -> str:
    """`did you mean 'x'?` for the nearest other name; else the names there are, when they are few."""
    known = sorted(set(names) - {wrong})
    if near := get_close_matches(wrong, known, n=1, cutoff=0.6):
        return f"did you mean {near[0]!r}?"
    if 0 < len(known) <= 12:
        return f"one of: {', '.join(known)}"
    return otherwise


def counted(number: int, what: str) -> str:
    """`1 control plane`, `3 control planes`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _located(source: SourceFiles, mark: Mark, what: str, hint: str) -> Located:
    return Located(str(mark.path), mark.line, mark.column, what, hint, source.line(mark))


# Keys of earlier versions -> what to write instead.
_GONE = {
    "verify_tls": "leave it out when an authority signed the certificate (authorities: FILE), else tls: pin, and for "
    "each host bmc.fingerprint, which bmk fingerprint DC shows"
}


def shape_problems(error: ValidationError, model: type[BaseModel] = DataCenterFile) -> Iterator[Problem]:
    """One problem per error of pydantic, in its order."""
    for item in error.errors(include_url=False):
        if item["type"] == "too_short" and item["input"]:
            continue  # its items were refused one by one: those errors say it
        words = _WORDS.get(item["type"], _plain)
        yield words(tuple(item["loc"]), item, model)


def _extra(loc: Loc, _: Mapping[str, Any], model: type[BaseModel]) -> Problem:
    at = _model_at(model, loc[:-1])
    hint = _GONE.get(str(loc[-1])) or did_you_mean(str(loc[-1]), at.model_fields if at else ())
    return Problem(loc, f"unknown key {loc[-1]!r}", hint, key=True)


def _missing(loc: Loc, _: Mapping[str, Any], model: type[BaseModel]) -> Problem:
    names = [str(step) for step in loc[:-1] if step != "spec"]
    within = f" in {'.'.join(names)}" if names else ""
    return Problem(loc, f"the key {loc[-1]!r} is missing{within}", _description(model, loc))


def _pattern(loc: Loc, item: Mapping[str, Any], _: type[BaseModel]) -> Problem:
    pattern, value = item["ctx"]["pattern"], str(item["input"])
    meaning = MEANINGS.get(pattern, f"text that matches {pattern}")
    key = bool(loc) and loc[-1] == "[key]"
    return Problem(loc[:-1] if key else loc, f"{value!r} is not {meaning}", suggest_spelling(pattern, value), key=key)


def _literal(loc: Loc, item: Mapping[str, Any], _: type[BaseModel]) -> Problem:
    allowed = re.findall(r"'([^']*)'", item["ctx"]["expected"])
    hint = did_you_mean(str(item["input"]), allowed)
    return Problem(loc, f"{item['input']!r} is not one of: {', '.join(allowed)}", hint if "mean" in hint else "")


def _network(loc: Loc, item: Mapping[str, Any], _: type[BaseModel]) -> Problem:
    value = str(item["input"])
    try:
        return Problem(loc, f"{value!r} has bits set below its prefix", f"write {IPv4Network(value, strict=False)}")
    except ValueError:
        return Problem(loc, f"{value!r} is not an IPv4 network such as 10.20.0.0/16")


def _expected(meaning: str) -> Callable[[Loc, Mapping[str, Any], type[BaseModel]], Problem]:
    def words(loc: Loc, item: Mapping[str, Any], model: type[BaseModel]) -> Problem:
        value = item["input"]
        if value is None:
            given = "nothing"
        elif isinstance(value, dict):
            given = "a mapping"
        else:
            given = "a list" if isinstance(value, (list, tuple)) else repr(value)
        return Problem(loc, f"{given} stands where {meaning} is expected", _description(model, loc))

    return words


def _plain(loc: Loc, item: Mapping[str, Any], _: type[BaseModel]) -> Problem:
    message = item["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return Problem(loc, f"{item['input']!r}: {message}" if not isinstance(item["input"], (dict, list)) else message)


_WORDS: dict[str, Callable[[Loc, Mapping[str, Any], type[BaseModel]], Problem]] = {
    "extra_forbidden": _extra,
    "missing": _missing,
    "string_pattern_mismatch": _pattern,
    "literal_error": _literal,
    "ip_v4_network": _network,
    "ip_v4_address": _expected("an IPv4 address such as 10.20.0.10"),
    "string_type": _expected("text"),
    "int_parsing": _expected("a whole number"),
    "int_type": _expected("a whole number"),
    "bool_parsing": _expected("true or false"),
    "bool_type": _expected("true or false"),
    "tuple_type": _expected("a list"),
    "dict_type": _expected("a mapping"),
    "model_type": _expected("a mapping"),
    "model_attributes_type": _expected("a mapping"),
}


def _description(model: type[BaseModel], loc: Loc) -> str:
    parent = _model_at(model, loc[:-1])
    field = parent.model_fields.get(str(loc[-1])) if parent and loc else None
    return field.description or "" if field else ""


def _model_at(model: type[BaseModel], loc: Loc) -> type[BaseModel] | None:
    """The model that describes the mapping at `loc`; None where there is none."""
    here: type[BaseModel] | _Many | None = model
    for step in loc:
        if isinstance(here, _Many):
            here = here.model
        elif here is not None:
            field = here.model_fields.get(str(step))
            here = _models(field.annotation) if field else None
    return here if isinstance(here, type) else None


class _Many:
    """A list or mapping of models: the next step of a loc is an index or a key."""

    def __init__(self, model: type[BaseModel]) -> None:
        self.model = model


def _models(annotation: Any) -> type[BaseModel] | _Many | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = [m for a in get_args(annotation) if isinstance(m := _models(a), type)]
    if not inner:
        return None
    return _Many(inner[0]) if get_origin(annotation) in (tuple, dict) else inner[0]
