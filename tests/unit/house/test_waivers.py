"""Waivers of the linters in bmk/: each says why."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3] / "bmk"
WAIVER = re.compile(r"#\s*(noqa\b(: [A-Z]+\d+(, [A-Z]+\d+)*)?|type: ignore(\[[a-z, -]+\])?)")
REASON = re.compile(r"[ #-]*[A-Za-z`'].*[a-z].*")


def unexplained(text: str) -> list[int]:
    """Lines with a waiver and no words beside it."""
    comments = (t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type == tokenize.COMMENT)
    return [t.start[0] for t in comments if WAIVER.search(t.string) and not REASON.fullmatch(WAIVER.sub("", t.string))]


@pytest.mark.parametrize(
    "waiver", ["# noqa: S608", "# noqa", "# type: ignore[misc]", "# type: ignore[misc]  # noqa: E501"]
)
def test_a_waiver_without_words_is_found(waiver: str) -> None:
    """A code alone is no reason; words behind it are one."""
    assert unexplained(f"x = 1  {waiver}\n") == [1]
    assert unexplained(f"x = 1  {waiver} - the host chose it\n") == []


def test_every_waiver_says_why() -> None:
    """Whoever reads `noqa` or `type: ignore` in bmk/ reads the reason on the same line."""
    found = [
        f"{path.relative_to(ROOT.parent)}:{line}"
        for path in sorted(ROOT.rglob("*.py"))
        for line in unexplained(path.read_text())
    ]
    assert found == []
