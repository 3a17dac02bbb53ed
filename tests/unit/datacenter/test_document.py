"""YAML as bmk reads it: text stays text, keys are unique, every place can be found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bmk.document import NotYaml, inside, parse_document, parse_json, read_document, to_yaml
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


def _bomb(levels: int) -> str:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    names = "abcdefghijklmnop"
    lines += [f"{n}: &{n} [{', '.join([f'*{names[i]}'] * 9)}]" for i, n in enumerate(names[1:levels])]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (_bomb(9), "aliases repeat more than 100000 values"),
        (_bomb(9) + "\n? *i\n: x\n", "aliases repeat more than 100000 values"),
        ("- \n" * 2_100_000, "more than 2000000 values"),
        ("# " + "x" * (17 << 20), "larger than 16 MiB"),
    ],
    ids=["aliases", "aliases as a key", "values", "size"],
)
def test_what_would_fill_memory_is_refused_before_it_does(text, what):
    """Size, number of values and what aliases repeat are bounded; 390 bytes are no 500 MB."""
    with pytest.raises(ConfigError, match=what):
        parse_document(text, HERE)


def test_a_file_is_read_no_further_than_its_bound(tmp_path):
    """A large file is refused by its size; a directory or nothing at all is no crash."""
    (tmp_path / "large.yml").write_bytes(b"#" * (17 << 20))
    for name, why in (("large.yml", "larger"), (".", "cannot read"), ("none.yml", "cannot read")):
        with pytest.raises(ConfigError, match=why):
            read_document(tmp_path / name)


def test_a_key_is_a_word():
    """A list or a mapping as a key is a flaw, and is never turned into text."""
    document = parse_document("? [a, b]\n: x\nc: d\n", HERE)
    assert [f.what for f in document.flaws] == ["a mapping or a list stands where a key is expected"]
    assert document.value["c"] == "d"


def test_merge_keys_are_explained_and_called_nothing_else():
    """`<<` says what to do instead, at its place; what it would have given is not called missing besides."""
    document = parse_document("a: &a {x: 1, y: 1}\nb: {<<: *a, y: 2}\n", HERE)
    assert [(str(f.mark), f.what.split(":")[0]) for f in document.flaws] == [
        ("x.yml:2:5", "merge keys (<<) are not read here")
    ]
    assert document.value["b"] == {"x": "1", "y": "2"}
    assert parse_document("'<<': x\n", HERE).value == {"<<": "x"}


@pytest.mark.parametrize("text", ["a: [1\n", "a: *x\n", "a: 1\n---\nb: 2\n", "[" * 60 + "]" * 60])
def test_places_are_told_in_broken_files_too(text):
    """Whatever is wrong with a file, asking for a place in it gives one."""
    try:
        document = parse_document(text, HERE)
    except NotYaml as error:
        document = error.document
    assert str(document.locate(("a", "b"))[0]).startswith("x.yml:1:")


@pytest.mark.parametrize(
    "word", ["y", "N", "1e3", "0x10", "0o7", "0b1", "1_000", ".5", "+1", "nan", "0012", "12e45", "true"]
)
def test_words_that_other_readers_take_for_numbers_are_quoted(word):
    """A cluster or a host may be called so; kubectl would read a number where a name is."""
    assert to_yaml({"name": word}) == f"name: '{word}'\n"
    assert to_yaml({"at": "10.1.0.11", "name": "cp-1", "v": "1.37.2"}) == "at: 10.1.0.11\nname: cp-1\nv: 1.37.2\n"


@given(plain)
def test_json_within_bounds_is_json(value):
    """The bounded reader agrees with the standard one."""
    assert parse_json(json.dumps(value), "x") == value
    assert parse_json(json.dumps(value).encode(), "x") == value


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[" * 51 + "]" * 51, "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
        ("[0" + ",0" * 2_000_001 + "]", "more than 2000000 values"),
        ('"' + '\\"' * 1_000_000, "not JSON"),
        ("[1, NaN]", "not JSON"),
        ("9" * 10_000, "not JSON"),
        (b"\xff", "not JSON"),
        ("root:$6$secret:19000:0::::", "not JSON"),
        (" " * (17 << 20), "larger than"),
    ],
)
def test_json_out_of_bounds_is_refused_without_a_word_of_it(text, what):
    """Depth, number and size are bounded, and a refusal quotes nothing."""
    with pytest.raises(ConfigError, match=what) as caught:
        parse_json(text, "x.json")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["../b.yml", "/etc/passwd", "link.yml", "dir/../../b.yml", "linked/b.yml"])
def test_no_name_leads_out_of_its_directory(tmp_path, name):
    """`..`, absolute paths and links are followed to their end before a file is opened."""
    directory = tmp_path / "a"
    directory.mkdir()
    (tmp_path / "b.yml").write_text("x: 1\n")
    (directory / "link.yml").symlink_to("../b.yml")
    (directory / "linked").symlink_to("..")
    with pytest.raises(ConfigError, match="leads out of"):
        inside(directory, name)
    (directory / "here.yml").symlink_to("there.yml")
    assert inside(directory, "here.yml") == directory / "here.yml"
