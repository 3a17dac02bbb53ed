"""The shape of a data center file: pydantic's errors in the file's own words, with what was expected."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Network
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from bmk.datacenter.model import DataCenterFile
from bmk.datacenter.problem import Problem, did_you_mean
from bmk.datacenter.scalars import MEANINGS, respelled
from bmk.document import Loc

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
    hint = _GONE.get(str(loc[-1])) or did_you_mean(str(loc[-1]), _fields(model, loc[:-1]))
    return Problem(loc, f"unknown key {loc[-1]!r}", hint, key=True)


def _missing(loc: Loc, _: Mapping[str, Any], model: type[BaseModel]) -> Problem:
    return Problem(loc, f"the key {loc[-1]!r} is missing{_in(loc[:-1])}", _description(model, loc))


def _pattern(loc: Loc, item: Mapping[str, Any], _: type[BaseModel]) -> Problem:
    pattern, value = item["ctx"]["pattern"], str(item["input"])
    meaning = MEANINGS.get(pattern, f"text that matches {pattern}")
    key = bool(loc) and loc[-1] == "[key]"
    return Problem(loc[:-1] if key else loc, f"{value!r} is not {meaning}", respelled(pattern, value), key=key)


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
        return Problem(loc, f"{_kind(item['input'])} stands where {meaning} is expected", _description(model, loc))

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


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, (list, tuple)) else repr(value)


def _in(loc: Loc) -> str:
    names = [str(step) for step in loc if step != "spec"]
    return f" in {'.'.join(names)}" if names else ""


def _fields(model: type[BaseModel], loc: Loc) -> list[str]:
    at = _model_at(model, loc)
    return list(at.model_fields) if at else []


def _description(model: type[BaseModel], loc: Loc) -> str:
    parent = _model_at(model, loc[:-1])
    field = parent.model_fields.get(str(loc[-1])) if parent and loc else None
    return field.description or "" if field else ""


def _model_at(model: type[BaseModel], loc: Loc) -> type[BaseModel] | None:
    """The model that describes the mapping at `loc`; None where there is none."""
    here: type[BaseModel] | _Many | None = model
    for step in loc:
        here = _step(here, step) if here is not None else None
    return here if isinstance(here, type) else None


def _step(here: type[BaseModel] | _Many, step: int | str) -> type[BaseModel] | _Many | None:
    if isinstance(here, _Many):
        return here.model
    field = here.model_fields.get(str(step))
    return _models(field.annotation) if field else None


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
