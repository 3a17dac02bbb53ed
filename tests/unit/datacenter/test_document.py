"""YAML as bmk reads it: text stays text, keys are unique, every place can be found."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bmk.document import parse_document, to_yaml
from bmk.errors import ConfigError

HERE = Path("x.yml")


@pytest.mark.parametrize("text", ["0012", "52:54:00:12:34:56", "1.30", "no", "on", "1e3", "0x10", "2026-01-01"])
def test_scalars_stay_what_was_written(text):
    """Nothing that YAML 1.1 would turn into a number, a date or a boolean changes."""
    assert parse_document(f"key: {text}\n", HERE).value == {"key": text}


@pytest.mark.parametrize(("text", "value"), [("~", None), ("null", None), ("", None), ("'null'", "null"), ('""', "")])
def test_only_unquoted_null_is_none(text, value):
    """An absent value is None; quotes make it text."""
    assert parse_document(f"key: {text}\n", HERE).value == {"key": value}


def test_duplicate_keys_are_flaws_with_both_places():
    """Every repeated key is told with its own place and the line of the first."""
    document = parse_document("a: 1\nb: {c: 1, c: 2}\na: 3\n", HERE)
    assert [(str(f.mark), f.what, f.hint) for f in document.flaws] == [
        ("x.yml:2:11", "'c' stands twice", "the first is on line 2: keep one"),
        ("x.yml:3:1", "'a' stands twice", "the first is on line 1: keep one"),
    ]


def test_anchors_work_and_unknown_ones_are_flaws():
    """Aliases repeat what their anchor names; one without an anchor is told."""
    assert parse_document("a: &x {b: 1}\nc: *x\n", HERE).value == {"a": {"b": "1"}, "c": {"b": "1"}}
    (flaw,) = parse_document("a: *x\n", HERE).flaws
    assert flaw.what == "there is no anchor &x above"


def test_tags_and_second_documents_are_flaws():
    """A tag nobody gave a meaning, and a second document, are told instead of guessed at."""
    assert [f.what for f in parse_document("a: !!python/object:os.system x\n", HERE).flaws] == [
        "the tag tag:yaml.org,2002:python/object:os.system means nothing here"
    ]
    assert [f.what for f in parse_document("a: 1\n---\nb: 2\n", HERE).flaws] == ["a second document starts here"]


def test_places_of_values_keys_and_absent_things():
    """A value, a key, and the nearest parent of what is not written each have their place."""
    document = parse_document("spec:\n  hosts:\n    - {name: a}\n    - name: b\n      nics: []\n", HERE)
    assert str(document.locate(("spec", "hosts", 1, "name"))[0]) == "x.yml:4:13"
    assert str(document.locate(("spec", "hosts", 1, "nics"), key=True)[0]) == "x.yml:5:7"
    mark, rest = document.locate(("spec", "racks", "r1"))
    assert (str(mark), rest) == ("x.yml:1:1", ("racks", "r1"))


def test_deep_nesting_is_refused():
    """A file nested past any sense is a ConfigError, not a crash."""
    with pytest.raises(ConfigError, match="nested too deeply"):
        parse_document("[" * 200 + "]" * 200, HERE)


keys = st.text("abc-:#{", min_size=1, max_size=4)
plain = st.recursive(
    st.none() | st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)


@given(plain)
def test_round_trip(value):
    """What `to_yaml` writes is read back as it was."""
    assert parse_document(to_yaml(value), HERE).value == value


@given(plain)
def test_agrees_with_pyyaml_on_strings_and_structure(value):
    """For text, lists and mappings the event reader agrees with PyYAML's own loader."""
    text = yaml.safe_dump(value)
    assert parse_document(text, HERE).value == yaml.safe_load(text)
