"""Nested settings as `a.b.c` -> scalar, so that two documents are compared leaf by leaf. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves by their path. Lists of scalars are one leaf, joined; of mappings `a[0].b`, and `a` is how many."""
    return dict(_leaves(value, prefix))


def _leaves(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(v, Mapping) for v in value):
        yield prefix, len(value)
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{prefix}[{number}]")
    else:
        yield prefix, ",".join(map(str, value)) if isinstance(value, list | tuple) else value
