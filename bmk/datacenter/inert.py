"""Values on their way to Ansible, made inert: a text is a text there, never a template or an expression. Pure.

Ansible evaluates every string of an inventory script and of a file of extra variables as a template, on the machine
that runs bmk. What such a string says was chosen by a host (a path that drift found, a file to be put back, a label of
UEFI) or by whoever may propose a change of dc.yml. `{"__ansible_unsafe": TEXT}` is how JSON says that TEXT is not one.
Words without any sign that a template or an expression needs stay bare, so that people can read `bmk inventory`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from bmk.errors import ConfigError

_PLAIN = re.compile(r"[\w@+=:,./ -]*", re.ASCII)
_RESERVED = "__ansible"  # keys by which JSON tells Ansible what a value is
_DEEPEST = 64


class Template(str):
    """A text of bmk's own that Ansible has to evaluate. Made where it is written, never from data."""

    __slots__ = ()


def inert(value: Any, depth: int = _DEEPEST) -> Any:
    """The value as JSON whose texts Ansible takes to the letter, at any depth; what JSON lacks becomes text.

    Raises ConfigError for a mapping that would not be what it is (a reserved key) and for one nested too deep: Ansible
    reads a document that its JSON reader refuses as YAML, where nothing is inert.
    """
    if depth < 0:
        raise ConfigError(f"values for Ansible are nested deeper than {_DEEPEST} levels")
    if isinstance(value, Mapping):
        return {_key(key): inert(inner, depth - 1) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [inert(inner, depth - 1) for inner in value]
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str.__str__(value) if isinstance(value, Template) else _text(str(value))


def _key(key: Any) -> str:
    """Keys are never templates."""
    text = _readable(str(key))
    if text.startswith(_RESERVED):
        raise ConfigError(f"a mapping for Ansible has the reserved key {text!r}", hint="call it something else")
    return text


def _text(text: str) -> str | dict[str, str]:
    text = _readable(text)
    return text if _PLAIN.fullmatch(text) else {"__ansible_unsafe": text}


def _readable(text: str) -> str:
    """Halves of characters, which JSON can carry and UTF-8 cannot, are replaced."""
    return text.encode("utf-8", "replace").decode()
