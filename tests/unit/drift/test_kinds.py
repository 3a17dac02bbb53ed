"""Kinds by properties: each is defined once and whole, every difference has a severity and at most one repair."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.drift.classify import KINDS, classify
from bmk.drift.facts import ALL as FACTS
from bmk.drift.facts.fact import Fact
from bmk.drift.kind import Kind, Rule, discover
from bmk.drift.model import Desired, Difference
from bmk.drift.outside import ALL as OUTSIDE

COMPARED = [kind for kind in KINDS.values() if kind.rules]
RULES = [pytest.param(kind, rule, id=f"{kind.name}-{rule.id}-{rule.field}") for kind in COMPARED for rule in kind.rules]
FACT = """
from bmk.drift.facts.fact import Fact
from bmk.drift.kind import Rule

LEAP = Fact(name="leap", command=lambda _: "x", parse=lambda _: {}, rules=(Rule("*", "*", "benign"),))
"""


def example(kind: Kind, rule: Rule) -> Difference:
    """A difference that a rule is about."""
    want, have = {"+": (None, "x"), "-": ("x", None), "": ("x", None)}.get(rule.field, ("x", "y"))
    field = {"+": "", "-": "", "*": "anything"}.get(rule.field, rule.field)
    return Difference(kind.name, rule.id.replace("*", "x"), field, want, have)


def test_each_kind_is_defined_once() -> None:
    """Two modules that define the same kind would contradict each other."""
    assert len(KINDS) == len(FACTS) + len(OUTSIDE)


def test_a_module_of_the_package_is_all_that_a_new_fact_needs(tmp_path: Path) -> None:
    """A fact is found where it is defined: there is no list to add it to."""
    package = tmp_path / "new_facts"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "leap.py").write_text(FACT)
    sys.path.insert(0, str(tmp_path))
    try:
        assert [kind.name for kind in discover("new_facts", [str(package)])] == ["leap"]
    finally:
        sys.path.remove(str(tmp_path))


@pytest.mark.parametrize("kind", COMPARED, ids=lambda kind: kind.name)
def test_the_last_rule_of_a_kind_matches_everything(kind: Kind) -> None:
    """Whatever nobody thought of has a severity that the kind's author chose."""
    assert (kind.rules[-1].id, kind.rules[-1].field) == ("*", "*")


@pytest.mark.parametrize(("kind", "rule"), RULES)
def test_each_rule_decides_something(kind: Kind, rule: Rule) -> None:
    """No rule stands behind a wider one that takes everything from it."""
    assert next(r for r in kind.rules if r.matches(example(kind, rule))) is rule


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_what_is_in_the_baseline_is_compared(fact: Fact) -> None:
    """A fact that is recorded or closed has rules, and what may vanish is recorded."""
    if fact.baseline is not None or fact.closed:
        assert fact.rules
    assert fact.baseline is not None or not fact.may_vanish
    assert fact.closed or not fact.allowed


VALUES = st.none() | st.text("ab", max_size=2) | st.booleans()
TEXTS = st.text(max_size=9)


@given(st.builds(Difference, st.sampled_from([*KINDS, "unknown"]), TEXTS, TEXTS, VALUES, VALUES), st.booleans())
def test_any_difference_has_a_severity_a_repair_and_a_command(difference: Difference, declared: bool) -> None:
    """A host chooses ids and values: none makes classifying fail, and only a repair names `bmk provision`."""
    owners = {difference.item: "role kubelet"} if declared else {}
    finding = classify("par", "r1-01", difference, Desired(owners=owners), {})
    assert finding.severity in ("benign", "degraded", "security", "breaking")
    assert finding.repair in ("converge", "api", "bmc", "")
    assert (finding.next == "bmk provision par --limit r1-01") == bool(finding.repair)
    assert "{" not in finding.next


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.restarts], ids=lambda kind: kind.name)
def test_what_a_restart_repairs_is_repaired_by_a_converge(kind: Kind) -> None:
    """A unit is restarted by the play only."""
    assert kind.repair(Difference(kind.name, "x", "value", 1, 2), Desired()) == "converge"
