"""Reviewed files: no field of any model takes text that another program would read as something else."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Annotated, Any, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

import bmk.artifacts
import bmk.datacenter
from bmk.datacenter.scalars import MEANINGS, Item, Line

NASTY = [
    "a\nb",
    "a\rb",
    "a\tb",
    "a\x00b",
    "\x1b[2J",
    "a\x7f",
    "a\x85b",
    "a\u2028b",
    "a\u2029b",
    "\u202egnp.exe",
    "a\u200bb",
]
TEMPLATES = ["{{ x }}", "{% x %}", "{# x #}", "${x}", "$(x)", "`x`"]
FREE = (Line, Item)  # what people say, and names that machines gave: braces are honest there


def models() -> Iterator[type[BaseModel]]:
    """Every model that is defined below bmk/datacenter and bmk/artifacts."""
    for package in (bmk.datacenter, bmk.artifacts):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".node." in info.name:
                continue  # runs in the image, with what is there
            module = import_module(info.name)
            for value in vars(module).values():
                if isinstance(value, type) and issubclass(value, BaseModel) and value.__module__ == module.__name__:
                    yield value


def words(annotation: Any, metadata: tuple[Any, ...] = ()) -> Iterator[Any]:
    """The types of text in an annotation, keys of mappings among them, with what they are held to."""
    if get_origin(annotation) is Annotated:
        kind, *more = get_args(annotation)
        yield from words(kind, (*metadata, *more))
    elif annotation is str:
        yield Annotated[(str, *metadata)] if metadata else str
    else:
        for part in get_args(annotation):
            yield from words(part)


FIELDS = {
    f"{model.__module__.removeprefix('bmk.')}.{model.__name__}.{name}-{i}": kind
    for model in models()
    for name, field in model.model_fields.items()
    for i, kind in enumerate(words(field.annotation, tuple(field.metadata)))
}


def test_there_are_models_to_try() -> None:
    """The walk finds the fields that it is for, in both packages and in keys of mappings."""
    found = " ".join(FIELDS)
    assert all(name in found for name in ("HostSpec.serial", "Network.ntp", "LockedFile.package", "HostSpec.labels-1"))


@pytest.mark.parametrize("kind", FIELDS.values(), ids=FIELDS)
def test_no_field_takes_line_breaks_and_control_characters(kind: Any) -> None:
    """Nor marks that change the direction of text, and nothing without end."""
    adapter = TypeAdapter(kind)
    for text in [*NASTY, "a" * 10_000]:
        with pytest.raises(ValidationError):
            adapter.validate_python(text)


@pytest.mark.parametrize("pattern", MEANINGS)
@given(st.data())
@settings(max_examples=10)
def test_a_pattern_holds_for_the_whole_of_a_text(pattern: str, data: st.DataObject) -> None:
    """No alternative of a pattern ends before the text does: what follows a good word is not let in with it."""
    adapter = TypeAdapter(Annotated[str, Field(pattern=pattern)])
    good = data.draw(st.from_regex(pattern.removesuffix("$"), fullmatch=True))
    for text in (f"{good}\n", f"{good}\n -x", f"\n{good}"):
        assert not _accepts(adapter, text)


@pytest.mark.parametrize("kind", FIELDS.values(), ids=FIELDS)
def test_only_free_text_holds_the_marks_of_templates(kind: Any) -> None:
    """A template in a name, an address or a flag is nonsense, and in free text it stays text."""
    adapter = TypeAdapter(kind)
    for text in TEMPLATES:
        accepted = _accepts(adapter, text) or _accepts(adapter, f"files:{text}")
        assert not accepted or any(_pattern(kind) == _pattern(free) for free in FREE), text


def _accepts(adapter: TypeAdapter[Any], text: str) -> bool:
    try:
        adapter.validate_python(text)
    except ValidationError:
        return False
    return True


def _pattern(kind: Any) -> str:
    schema = TypeAdapter(kind).json_schema()
    return str(schema.get("pattern"))
