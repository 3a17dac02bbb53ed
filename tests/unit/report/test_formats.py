"""Documents, metrics and the page: valid, bounded, and without anything that they must not hold."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.drift.classify import classify
from bmk.drift.model import Desired, Difference, DriftStatus, Finding, Trouble
from bmk.report import certificates, drift, verify
from bmk.report.drift import as_junit, as_metrics, table
from bmk.report.html import render
from bmk.verify.run import VerifyResult

ROOT = Path(__file__).resolve().parents[3]
TEXTS = st.text(max_size=30)


def finding(**more: Any) -> Finding:
    found = classify("par", "r1-01", Difference("sysctls", "vm.swappiness", "value", "1", "60"), Desired(), {})
    return Finding.from_dict({**found.as_dict(), "first": 100.0, "last": 200.0, **more})


STANDINGS = [
    DriftStatus("r1-01", (finding(),)),
    DriftStatus("r1-02", (finding(severity="breaking", expected="why (until 2099-01-01)"),)),
    DriftStatus("r1-03", (), (Trouble("hangs", "no whole answer within 120 s", "bmk console par r1-03"),)),
    DriftStatus("r1-04"),
    DriftStatus("r1-05", alone="in maintenance; next: bmk maintenance par r1-05 off"),
]


@pytest.mark.parametrize("kind", ["drift", "verify", "certs"])
def test_the_published_schema_is_the_models(kind: str) -> None:
    """docs/schema is what the code says; scripts/models writes it."""
    published = json.loads((ROOT / f"docs/schema/{kind}.schema.json").read_text())
    assert published == {"drift": drift, "verify": verify, "certs": certificates}[kind].schema()


def test_documents_are_as_their_schemas_say() -> None:
    """Every state, and a difference that is expected."""
    document = drift.document("par", "run", 300.0, 1.5, STANDINGS)
    jsonschema.validate(document, drift.schema())
    assert [s["state"] for s in document["standings"]] == ["degraded", "clean", "unknown", "clean", "alone"]
    assert document["summary"] | {"benign": 0} == {
        "hosts": 5, "clean": 2, "drifted": 1, "unknown": 1, "alone": 1, "expected": 1,
        "benign": 0, "degraded": 1, "security": 0, "breaking": 0,
    }  # fmt: skip
    results = [
        VerifyResult("r1-01", "kubelet", "it runs", "failed", "why\nmore", 0.1),
        VerifyResult("c", "smoke", "dns", "passed"),
    ]
    jsonschema.validate(verify.document("par", 1.0, results), verify.schema())


@given(TEXTS, TEXTS, TEXTS)
def test_junit_is_xml_whatever_a_host_said(name: str, have: str, diff: str) -> None:
    """Control characters, brackets and quotes of a host break no reader."""
    d = classify("par", "x", Difference("files", name, "sha256", "a", have), Desired(), {})
    body = Finding.from_dict({**d.as_dict(), "diff": diff})
    root = ElementTree.fromstring(as_junit("par", [DriftStatus("x", (body,), (Trouble("hangs", have),))]))
    assert len(root.findall(".//failure")) == len(root.findall(".//error")) == 1


def test_metrics_are_metrics(tmp_path: Path) -> None:
    """promtool of Debian's prometheus package reads them without a complaint."""
    text = as_metrics('p"ar', 300.0, 1.5, STANDINGS)
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert 'bmk_drift_unknown{datacenter="p\\"ar",cause="hangs"} 1' in text
    assert 'bmk_drift_differences{datacenter="p\\"ar",severity="breaking"} 0' in text


def test_alert_rules_fire_when_they_should(tmp_path: Path) -> None:
    """promtool loads the rules and tries them: quiet when nothing is wrong, one alert for each thing that is."""
    for file in (ROOT / "roles/drift_timer/files/drift.rules.yml", Path(__file__).with_name("drift.test.yml")):
        (tmp_path / file.name).write_text(file.read_text())
    for command in (["check", "rules", "drift.rules.yml"], ["test", "rules", "drift.test.yml"]):
        done = subprocess.run(["promtool", *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_table_names_only_what_somebody_should_look_at() -> None:
    """Quiet when nothing is wrong: clean hosts are not there; every row says what to type."""
    lines = "\n".join(table(STANDINGS, wide=False))
    assert "r1-04" not in lines
    assert "r1-02" not in lines
    assert lines.count("next: bmk ") == 3
    assert list(table([DriftStatus("r1-04")], wide=False)) == []
    assert "expected: why" in "\n".join(table(STANDINGS, wide=True))


@given(TEXTS)
def test_the_page_holds_text_and_nothing_that_runs(text: str) -> None:
    """What a host said ends no script element and makes no new one; the data comes back as it was."""
    data = {
        "datacenter": "</script><script>alert(1)</script>" + text,
        "hosts": [],
        "clusters": [],
        "runs": [],
        "at": "",
    }
    page = render("site", data=data)
    assert page.count("<script") == 2
    body = page.split('type="application/json">', 1)[1].split("</script>", 1)[0]
    assert json.loads(body) == data


def test_the_page_needs_no_network() -> None:
    """No address in it, and a policy that forbids asking for any."""
    page = render("site", data={"datacenter": "par", "hosts": [], "clusters": [], "runs": [], "at": ""})
    assert "http://" not in page
    assert "https://" not in page
    assert "default-src 'none'" in page
