"""JUnit and metrics as their readers parse them."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from bmk.report.junit import JunitCase, junit
from bmk.report.prometheus import Gauge, metrics

TEXT = st.text(max_size=20)


@given(TEXT, TEXT, TEXT, TEXT)
def test_any_text_fits(name: str, place: str, case: str, message: str) -> None:
    """Control characters, half characters and non-characters of a host never make a file that readers refuse."""
    cases = [JunitCase(case, failure=f"x{message}", text=message, output=message), JunitCase(case, skipped="why")]
    root = ElementTree.fromstring(junit(name, [(place, cases), ("empty", [])]))
    assert [root.get(key) for key in ("tests", "failures", "errors", "skipped")] == ["2", "1", "0", "1"]
    assert [suite.get("tests") for suite in root] == ["2", "0"]


@given(TEXT)
def test_a_label_never_ends_its_line(label: str) -> None:
    """One line per sample, whatever a label holds."""
    text = metrics("par", [Gauge("bmk_x", "X.", [(1, {"host": label}), (2, {})])])
    lines = text.split("\n")
    assert len(lines) == 5
    assert lines[2].endswith('"} 1')
