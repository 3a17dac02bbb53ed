"""Pages from templates: what hosts say stays text, in every place of every page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from bmk.hardening.assess import ControlResult, HardeningReport, NoEvidence
from bmk.hardening.exceptions import Exemption
from bmk.report import hardening, html, verify
from bmk.report.html import render
from bmk.verify.run import VerifyResult

HOSTILE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40).map(lambda t: f"x{t}x")
ATTACKS = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% include 'site.js' %}",
    "' onmouseover='alert(1)",
    "</style><b>",
    "<!--",
    "]]>&lt;&#60;",
]


class Shape(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Any] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.elements.append(f"/{tag}")

    def handle_comment(self, data: str) -> None:
        self.elements.append(("comment", data))

    def handle_data(self, data: str) -> None:
        self.text += data


def hardening_page(said: str) -> str:
    results = [
        ControlResult("id", "where", "fail", said, "high", said, (said,)),
        ControlResult(said, "where", "waived", said, "low", "title", ("1.1",), said, said),
        ControlResult("id", f"node {said}", "pass", said, "low", "title"),
    ]
    exceptions = (Exemption("exempt", said, said, said),)
    silent = (NoEvidence(said, "worker", said),)
    return hardening.as_html(HardeningReport(said, said, tuple(results), exceptions, silent))


def verify_page(said: str) -> str:
    return verify.as_html(
        said, 1.0, [VerifyResult(said, said, said, "failed", said), VerifyResult("a", "b", "c", "passed")]
    )


def site_page(said: str) -> str:
    host = {"name": said, "drift": [{"text": said, "diff": said}], "timeline": [[said, said]]}
    return render("site", data={"datacenter": said, "at": said, "hosts": [host], "clusters": [], "runs": []})


PAGES = [hardening_page, verify_page, site_page]


@pytest.mark.parametrize("page", PAGES)
@given(said=HOSTILE)
@example(said=ATTACKS[0])
@example(said=ATTACKS[1])
@example(said=ATTACKS[2])
@example(said=ATTACKS[3])
@example(said=ATTACKS[4])
@example(said=ATTACKS[5])
@example(said=ATTACKS[6])
def test_texts_of_hosts_never_become_markup(page: Any, said: str) -> None:
    """With any text in any field a page has the same elements and attributes, and shows the text as it was."""
    hostile = Shape(page(said))
    assert hostile.elements == Shape(page("plain")).elements
    assert said in hostile.text


@given(said=HOSTILE)
@example(said=ATTACKS[0])
def test_the_data_of_the_page_comes_back_as_it_was(said: str) -> None:
    """The JSON inside the site page is what was given, whatever it holds."""
    body = site_page(said).split('type="application/json">', 1)[1].split("</script>", 1)[0]
    assert json.loads(body)["hosts"][0]["name"] == said


@pytest.mark.parametrize("page", PAGES)
def test_a_page_needs_nothing_but_itself(page: Any) -> None:
    """No address, import or link to another file; a policy that forbids loading any; light and dark."""
    text = page("plain")
    assert re.findall(r"https?:|@import|url\((?!data:)|src=|href=\"(?!data:|#)", text) == []
    assert "default-src 'none'" in text
    assert "light dark" in text


def test_every_template_is_rendered_by_a_test() -> None:
    """A new page is tried with hostile texts too."""
    templates = {file.name.partition(".")[0] for file in Path(html.__file__).parent.glob("templates/*.html.j2")}
    assert templates == {page.__name__.partition("_")[0] for page in PAGES}


def test_a_missing_value_is_an_error() -> None:
    """A misspelt name in a template never renders as nothing."""
    with pytest.raises(UndefinedError):
        render("verify", dc="par")
