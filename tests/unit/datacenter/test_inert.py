"""Values for Ansible are data: nothing of them can be taken for a template."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.datacenter.inventory import Template, inert
from bmk.document import to_yaml
from bmk.errors import ConfigError

texts = st.text() | st.sampled_from(
    ["{{ lookup('pipe', 'id') }}", "{% raw %}", "{#", "#jinja2:variable_start_string:'['\n[x]", "lookup('pipe','x')"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=16,
)


def _bare(value: Any) -> list[str]:
    """Texts that Ansible would evaluate: all but those of marked mappings."""
    if isinstance(value, dict):
        return [] if value.keys() == {"__ansible_unsafe"} else [t for v in value.values() for t in _bare(v)]
    if isinstance(value, list):
        return [t for v in value for t in _bare(v)]
    return [value] if isinstance(value, str) else []


def _read(value: Any) -> Any:
    """As Ansible reads it."""
    if isinstance(value, dict):
        return value.get("__ansible_unsafe", {k: _read(v) for k, v in value.items()})
    return [_read(v) for v in value] if isinstance(value, list) else value


@given(values)
def test_every_value_is_inert_and_stays_what_it_is(value: Any) -> None:
    """At any depth no bare text holds a sign of a template or expression, and what is read is what was given."""
    made = json.loads(json.dumps(inert(value)))
    assert not [text for text in _bare(made) if re.search(r"[^\w@+=:,./ -]", text, re.ASCII)]
    assert _read(made) == value


def test_only_a_template_that_is_named_one_passes() -> None:
    """A text of the same letters that comes from data is marked."""
    text = "{{ ansible_playbook_python }}"
    assert inert([Template(text), text]) == [text, {"__ansible_unsafe": text}]


def test_odd_values_are_texts_or_refused() -> None:
    """Numbers that JSON lacks and halves of characters become text; a reserved key and endless depth are refused:
    Ansible reads what its JSON reader refuses as YAML, where a text is a template."""
    assert inert([float("nan"), "a\ud800", (1, 2)]) == ["nan", {"__ansible_unsafe": "a?"}, [1, 2]]
    with pytest.raises(ConfigError, match="reserved key"):
        inert({"a": [{"__ansible_unsafe": 1}]})
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    with pytest.raises(ConfigError, match="deeper than 64"):
        inert(deep)


def test_yaml_marks_the_same_texts() -> None:
    """`bmk inventory -o yaml` used as a file of variables is as inert as the JSON."""
    assert to_yaml(inert({"a": "{{ x }}", "b": "plain"})) == 'a: !unsafe "{{ x }}"\nb: plain\n'
