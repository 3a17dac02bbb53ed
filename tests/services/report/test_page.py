"""The page in a real Chromium: it opens, filters, shows a host, in dark and light, on a phone, without network."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from bmk.datacenter.load import load_datacenter
from bmk.journal import Journal
from bmk.journal.host_status import project
from bmk.report.html import render
from bmk.report.site import collect

pytestmark = pytest.mark.services
SEVERITIES = ("breaking", "security", "degraded", "benign")
HOSTS, RACKS = 2000, 50


def finding(severity: str, number: int) -> dict[str, str]:
    return {
        "severity": severity,
        "text": f"sysctls: net.ipv4.ip_forward: value is {number}, should be 1",
        "owner": "role node_baseline",
        "since": "2026-11-20T02:00:00Z",
        "next": f"bmk provision par --limit r{number % RACKS}-{number:04}",
        "note": "",
        "diff": "--- /etc/x (as left)\n+++ /etc/x (now)\n@@ -1 +1 @@\n-a\n+b",
    }


def host(number: int, state: str) -> dict[str, Any]:
    drift = [finding(state, number)] if state in SEVERITIES else []
    rows = [[f"2026-11-23T02:00:0{i}Z", "ansible", "info", f"Write the runtime's files, part {i}"] for i in range(10)]
    rows.append(["2026-11-24T02:00:00Z", "drift", "warning" if drift else "info", "a look of drift"])
    cause = {"what": "no DHCP request seen in 180 s", "why": "cabling", "next": "bmk console par x"}
    return {
        "name": f"r{number % RACKS:02}-{number:04}",
        "rack": f"r{number % RACKS:02}",
        "role": "control_plane" if number < 3 else "worker",
        "cluster": "apps",
        "address": f"10.20.{number // 250}.{number % 250}",
        "phase": "ready",
        "where": "ready",
        "state": state,
        "looked": "2026-11-24T02:00:00Z",
        "troubles": ["no whole answer within 120 s"] if state == "unknown" else [],
        "cause": cause if state == "failed" else None,
        "drift": drift,
        "timeline": rows,
    }


def data() -> dict[str, Any]:
    """2,000 hosts, of which one in ten has something."""
    dice = random.Random(6)
    states = ["clean"] * 90 + ["breaking", "security", "degraded", "degraded", "benign", "unknown", "failed", "running"]
    runs = [{"at": f"2026-11-{d:02}T02:00:00Z", "hosts": HOSTS, "unknown": d % 4, "breaking": d % 3, "security": d % 5,
             "degraded": 30 - d, "benign": 7} for d in range(1, 24)]  # fmt: skip
    hosts = [host(n, dice.choice(states)) for n in range(HOSTS)]
    hosts[7] = host(7, "security")
    rogue = {**finding("security", 1), "text": "bindings: rogue: not expected here", "diff": ""}
    cluster = {"name": "apps", "state": "security", "looked": "2026-11-24T02:00:00Z", "troubles": [], "drift": [rogue]}
    failing = [{"control": "kubelet-anonymous", "severity": "high", "title": "The kubelet knows who asks",
                "where": [h["name"] for h in hosts[:12]]}]  # fmt: skip
    counts = {"fail": 12, "unknown": 0, "waived": 3, "na": 40, "pass": 24000}
    hardening = {"at": "2026-11-24T01:00:00Z", "counts": counts, "failing": failing}
    return {"datacenter": "par", "at": "2026-11-24T02:05:00Z", "hosts": hosts, "clusters": [cluster], "runs": runs,
            "hardening": hardening, "upkeep": upkeep()}  # fmt: skip


def upkeep() -> dict[str, Any]:
    """A backup that is old, certificates of which one is due, a rotation under way that was interrupted."""
    backups = [{"cluster": "apps", "state": "failed", "age": "3 d", "name": "par.apps.x.age", "revision": 17, "size": 9,
                "kept": 4}]  # fmt: skip
    certificates = {"at": "2026-11-24T02:00:00Z", "age": "5 min", "counts": {"due": 1, "ok": 40}, "wrong": 1,
                    "soonest": [{"where": "cp-1", "kind": "apiserver", "ends": "2026-12-01 00:00"}],
                    "next": "bmk certs show par"}  # fmt: skip
    cause = {"cluster": "apps", "what": "a rotation was interrupted", "why": "cp-1", "next": "bmk certs x"}
    lines = ["encryption key of apps: a rotation to key2 is under way"]
    return {"backups": backups, "certificates": certificates, "rotations": lines, "causes": [cause]}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("page") / "page.html"
    file.write_text(render("site", data=data()))
    return file


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    assert program, "chromium is missing; next: scripts/setup"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser: Browser, path: Path, **more: Any) -> tuple[Page, list[str]]:
    """The page, and everything that went wrong or left the file while it was open."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **more})
    page, trouble = context.new_page(), []
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: trouble.append(request.url) if not request.url.startswith("file:") else None)
    page.goto(path.as_uri())
    return page, trouble


def keep(page: Page | Locator, name: str) -> None:
    """A screenshot for people, where BMK_SCREENSHOTS says."""
    where = os.environ.get("BMK_SCREENSHOTS")
    if where:
        page.screenshot(path=str(Path(where) / f"{name}.png"))


def test_what_is_shown_here_has_the_shape_of_what_is_collected(tmp_path: Path) -> None:
    """Data of the page that a journal gives have the same keys as those that these tests make up."""
    journal = Journal.open(tmp_path)
    dc = load_datacenter("lab-ha")
    real, made_up = collect(dc, journal, project(journal, dc.name, None)), data()
    assert set(made_up) == set(real)
    assert set(made_up["hosts"][0]) == set(real["hosts"][0])
    assert set(made_up["upkeep"]) == set(real["upkeep"])


def test_two_thousand_hosts_open_at_once(browser: Browser, path: Path) -> None:
    """Below 3 MB, drawn below 2 s, one box for each rack and one link for each host, nothing asked of any network."""
    assert path.stat().st_size < 3_000_000
    began = time.monotonic()
    page, trouble = opened(browser, path)
    assert page.locator(".rack").count() == RACKS
    seconds = time.monotonic() - began
    assert page.locator(".rack a").count() == HOSTS
    drawn = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert drawn < 2000, f"{drawn} ms ({seconds:.1f} s with starting a tab)"
    keep(page, "light")
    assert trouble == []


def test_filters_work_without_a_server(browser: Browser, path: Path) -> None:
    """A state, a word, and both: what is left is said in words and is what was asked for."""
    page, trouble = opened(browser, path)
    page.get_by_role("button", name="security").click()
    states = page.locator(".rack li:not([hidden]) .word").all_inner_texts()
    assert states
    assert all(text.startswith("security") for text in states)
    assert f"{len(states)} of {HOSTS} hosts" in page.locator("#shown").inner_text()
    page.get_by_label("Find").fill("r07-0007")
    assert page.locator(".rack li:not([hidden])").count() == 1
    assert page.locator(".rack:not([hidden])").count() == 1
    keep(page, "filtered")
    assert trouble == []


def test_a_host_can_be_opened_by_link_and_by_keyboard(browser: Browser, path: Path) -> None:
    """Following its link shows drift, diff, next command and timeline; Escape goes back to where one was."""
    page, trouble = opened(browser, path)
    page.locator('a[href="#r07-0007"]').focus()
    page.keyboard.press("Enter")
    shown = page.locator("#host")
    assert shown.is_visible()
    text = shown.inner_text()
    for words in ("should be 1", "bmk provision par --limit", "+b", "Timeline", "since 2026-11-20"):
        assert words in text
    keep(page, "host")
    page.keyboard.press("Escape")
    assert not shown.is_visible()
    assert page.evaluate("document.activeElement.getAttribute('href')") == "#r07-0007"
    direct, more = opened(browser, path)
    direct.goto(f"{path.as_uri()}#r07-0007")
    assert direct.locator("#host").is_visible()
    assert trouble + more == []


def test_clusters_are_told(browser: Browser, path: Path) -> None:
    """What differs in a cluster's API."""
    page, trouble = opened(browser, path)
    text = page.locator("#clusters").inner_text()
    for words in ("Cluster apps", "rogue: not expected here"):
        assert words in text
    assert trouble == []


def test_hardening_is_summed_up(browser: Browser, path: Path, tmp_path: Path) -> None:
    """What fails, where, and what to type; nothing about it when nobody has looked."""
    page, trouble = opened(browser, path)
    text = page.locator("#hardening").inner_text()
    for words in (
        "12 fail, 3 waived, 40 do not apply, 24000 hold",
        "kubelet-anonymous",
        "and 4 more",
        "bmk hardening par",
    ):
        assert words in text
    keep(page.locator("#hardening"), "hardening")
    keep(page.locator("#trend"), "trend")
    without = tmp_path / "without.html"
    without.write_text(render("site", data={**data(), "hardening": None}))
    page, more = opened(browser, without)
    assert not page.locator("#hardening").is_visible()
    assert trouble + more == []


def test_a_phone_in_the_dark(browser: Browser, path: Path) -> None:
    """390 pixels wide, dark: nothing is cut off or has to be scrolled sideways."""
    page, trouble = opened(browser, path, viewport={"width": 390, "height": 844}, color_scheme="dark", has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    keep(page, "phone-dark")
    page.locator('a[href="#r07-0007"]').tap()
    assert page.locator("#host").is_visible()
    keep(page, "phone-dark-host")
    assert trouble == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read_in_every_colour(browser: Browser, path: Path, scheme: Any) -> None:
    """WCAG AA: each word has a contrast of 4.5 against what is behind it, and no state is told by colour alone."""
    page, _ = opened(browser, path, color_scheme=scheme)
    ratios = page.evaluate(CONTRAST)
    assert set(ratios) >= {"clean", "security", "degraded", "breaking", "unknown"}
    assert {state: ratio for state, ratio in ratios.items() if ratio < 4.5} == {}


def test_stripes_are_where_hosts_are(browser: Browser, path: Path) -> None:
    """What fails has a double edge, what is unknown a striped one; no bar of the trend has an edge."""
    page, _ = opened(browser, path)
    style = "(e) => [getComputedStyle(e).borderLeftStyle, getComputedStyle(e).backgroundImage.split('(')[0]]"
    for state, edge in (
        ("breaking", ["double", "none"]),
        ("unknown", ["solid", "repeating-linear-gradient"]),
        ("clean", ["solid", "none"]),
    ):
        assert page.locator(f".rack a.s-{state}").first.evaluate(style) == edge
    widths = page.locator(".bar").evaluate_all("(all) => all.map((e) => getComputedStyle(e).borderLeftWidth)")
    assert set(widths) == {"0px"}


CONTRAST = """() => {
  const light = (c) => { const [r, g, b] = c.match(/[0-9.]+/g).map((v) => { v /= 255;
    return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const found = {};
  document.querySelectorAll('.rack a .word').forEach((word) => {
    const [a, b] = [getComputedStyle(word).color, getComputedStyle(word.parentElement).backgroundColor].map(light);
    found[word.textContent.split(' ')[0]] = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  });
  return found;
}"""


def test_backups_and_certificates_are_shown(browser: Browser, path: Path) -> None:
    """What is old, what ends first, what is under way, and the next command of each."""
    page, trouble = opened(browser, path)
    shown = page.locator("#upkeep").inner_text()
    for words in ("none that is new", "3 d", "apiserver", "2026-12-01", "1 due, 40 ok", "key2 is under way"):
        assert words in shown
    assert page.locator("#upkeep code").all_inner_texts() == ["bmk certs x", "bmk certs show par"]
    keep(page.locator("#upkeep"), "upkeep")
    assert trouble == []
