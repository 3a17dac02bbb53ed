"""Argument specs and defaults of the roles, rendered from bmk.ansible.variables. Pure."""

from __future__ import annotations

import inspect
import types
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bmk.ansible.variables import ROLES, USES, InventoryVars

_PLAIN = {str: "str", int: "int", bool: "bool", float: "float"}


def argument_specs(role: str) -> dict[str, Any]:
    """The content of `roles/<role>/meta/argument_specs.yml`."""
    model, about = ROLES[role], inspect.getdoc(ROLES[role]) or role
    entries = {}
    for entry, names in USES[role].items():
        options = {name: _option(InventoryVars.model_fields[name]) for name in names}
        if entry == "main":
            options |= {name: _option(field) for name, field in model.model_fields.items()}
        entries[entry] = {"short_description": about.split(". ")[0].rstrip("."), "options": options}
    return {"argument_specs": entries}


def defaults(role: str) -> dict[str, tuple[str, Any]]:
    """Variable -> (what it is for, default): the content of `roles/<role>/defaults/main.yml`."""
    return {name: (field.description or "", _plain(field.default)) for name, field in ROLES[role].model_fields.items()}


def _option(field: FieldInfo) -> dict[str, Any]:
    option = _type(field.annotation)
    if field.description:
        option["description"] = field.description
    if field.is_required() and not _optional(field.annotation):
        option["required"] = True
    elif not field.is_required() and field.default is not None:
        option["default"] = _plain(field.default)
    return option


def _type(annotation: Any) -> dict[str, Any]:
    if _optional(annotation):
        return _type(next(a for a in get_args(annotation) if a is not types.NoneType))
    if annotation in _PLAIN:
        return {"type": _PLAIN[annotation]}
    origin = get_origin(annotation)
    if origin is Literal:
        return {"type": "str", "choices": list(get_args(annotation))}
    if origin is list:
        return {"type": "list", **_elements(get_args(annotation)[0])}
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return {"type": "dict", "options": {n: _option(f) for n, f in annotation.model_fields.items()}}
    return {"type": "dict"}


def _elements(annotation: Any) -> dict[str, Any]:
    inner = _type(annotation)
    return {"elements": inner.pop("type"), **inner}


def _optional(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType) and types.NoneType in get_args(annotation)


def _plain(value: Any) -> Any:
    return value.model_dump() if isinstance(value, BaseModel) else value
