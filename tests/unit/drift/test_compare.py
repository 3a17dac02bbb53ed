"""Comparison by properties: nothing is found in itself, one change is one difference, order never matters."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bmk.drift.compare import compare, missing_kinds
from bmk.drift.model import Desired, Difference

NAMES = st.text("abcdefgh/.-", min_size=1, max_size=6)
VALUES = st.one_of(st.booleans(), st.integers(0, 9), st.text("xyz", max_size=3))
ATTRIBUTES = st.dictionaries(st.sampled_from(["mode", "owner", "value", "sha256"]), VALUES, min_size=1)
FACTS = st.dictionaries(st.sampled_from(["files", "units", "sysctls"]), st.dictionaries(NAMES, ATTRIBUTES), max_size=3)


def items(facts: dict[str, Any]) -> list[tuple[str, str]]:
    return [(kind, name) for kind, there in facts.items() for name in there]


@given(FACTS)
def test_comparing_with_itself_is_empty(facts: dict[str, Any]) -> None:
    """What is as it was left has no difference, whatever is owned."""
    assert compare(Desired(facts, owned=("files:*", "units:*", "sysctls:*")), facts) == []


@given(FACTS, st.data())
def test_one_changed_attribute_is_exactly_that_difference(facts: dict[str, Any], data: st.DataObject) -> None:
    """Any single mutation yields the difference that was made, and nothing else."""
    if not items(facts):
        return
    kind, name = data.draw(st.sampled_from(items(facts)))
    field = data.draw(st.sampled_from(sorted(facts[kind][name])))
    changed = {k: {n: dict(a) for n, a in there.items()} for k, there in facts.items()}
    changed[kind][name][field] = "something else"
    want = facts[kind][name][field]
    assert compare(Desired(facts), changed) == [Difference(kind, name, field, want, "something else")]


@given(FACTS, st.data())
def test_one_missing_item_is_one_difference(facts: dict[str, Any], data: st.DataObject) -> None:
    """What is gone is told once, not attribute by attribute."""
    if not items(facts):
        return
    kind, name = data.draw(st.sampled_from(items(facts)))
    left = {k: {n: a for n, a in there.items() if (k, n) != (kind, name)} for k, there in facts.items()}
    found = compare(Desired(facts), left)
    assert [(d.kind, d.id, d.field, d.have) for d in found] == [(kind, name, "", None)]


@given(FACTS, NAMES, ATTRIBUTES)
def test_what_is_not_declared_counts_only_where_it_is_owned(
    facts: dict[str, Any], name: str, extra: dict[str, Any]
) -> None:
    """Left-scoped: an additional item is nothing, unless its place is owned entirely and it is not allowed there."""
    there = {**facts, "files": {**facts.get("files", {}), name: extra}}
    if name in facts.get("files", {}):
        return
    assert compare(Desired(facts), there) == []
    assert [d.item for d in compare(Desired(facts, owned=("files:*",)), there)] == [f"files:{name}"]
    assert compare(Desired(facts, owned=("files:*",), allowed=frozenset({f"files:{name}"})), there) == []


@given(FACTS, FACTS, st.randoms(use_true_random=False))
def test_order_never_matters(wanted: dict[str, Any], there: dict[str, Any], random: Any) -> None:
    """Facts in any order give the same list."""

    def shuffled(facts: dict[str, Any]) -> dict[str, Any]:
        kinds = list(facts.items())
        random.shuffle(kinds)
        return {kind: dict(random.sample(sorted(part.items(), key=repr), len(part))) for kind, part in kinds}

    owned = ("files:*",)
    assert compare(Desired(wanted, owned), there) == compare(Desired(shuffled(wanted), owned), shuffled(there))


def test_a_kind_that_was_not_asked_is_named_and_not_missing() -> None:
    """No answer is not the answer that everything is gone."""
    desired = Desired({"units": {"a.service": {"active": True}}, "files": {}})
    assert compare(desired, {}) == []
    assert missing_kinds(desired, {}) == ["units"]


def test_absence_can_be_desired() -> None:
    """A file that must not be there is a difference when it is, and none when it is not."""
    desired = Desired({"files": {"/x": {"type": "absent"}}})
    assert compare(desired, {"files": {}}) == []
    (found,) = compare(desired, {"files": {"/x": {"type": "file", "mode": "0644"}}})
    assert (found.field, found.want) == ("", None)


def test_another_type_is_one_difference() -> None:
    """A link where a file should be: its owner and mode say nothing more."""
    desired = Desired({"files": {"/x": {"type": "file", "mode": "0644", "owner": "root"}}})
    (found,) = compare(desired, {"files": {"/x": {"type": "link", "target": "/dev/null"}}})
    assert (found.field, found.have) == ("type", "link")


def test_a_type_that_nobody_declared_is_no_difference() -> None:
    """A Service of which only the ports are wanted has a type all the same."""
    desired = Desired({"policies": {"Service/x": {"ports": 1}}})
    assert compare(desired, {"policies": {"Service/x": {"ports": 1, "type": "ClusterIP"}}}) == []
