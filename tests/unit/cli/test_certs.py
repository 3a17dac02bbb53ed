"""`bmk certs` and `bmk certs renew` before they ask anybody, and what `bmk status` keeps of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from bmk.errors import Exit
from bmk.journal import Event, Journal
from bmk.journal.records import CertificatesRecord
from bmk.paths import content_dir


def test_the_short_form_is_the_long_one(cli: Any) -> None:
    """`bmk certs DC` looks at DC; what is no data center is told as such, with both."""
    for words in (("certs", "nowhere"), ("certs", "show", "nowhere"), ("certs", "-o", "json", "nowhere")):
        said = cli(*words)
        assert said.code == Exit.CONFIG
        assert "nowhere" in said.err


def test_a_file_may_keep_the_nightly_job_from_renewing(cli: Any, tmp_path: Any) -> None:
    """Nothing is asked and nothing done; by hand it goes on."""
    file = Path(shutil.copytree(content_dir() / "inventories/example", tmp_path / "dc")) / "dc.yml"
    file.write_text(file.read_text().replace("\nspec:\n", "\nspec:\n  certificates: {nightly: false}\n"))
    said = cli("certs", "renew", str(file), "--nightly")
    assert said.code == Exit.OK, said.err
    assert "nothing is renewed" in said.err


def test_status_says_what_ends_first(cli: Any, journal: Journal) -> None:
    """As it was seen last; what is wrong comes with the command that shows it."""
    assert "certificates" not in cli("status", "lab").err
    soonest = (("cp-1", "apiserver", 4_102_444_800.0),)
    CertificatesRecord(at=4_102_444_800.0, soonest=soonest, counts={"ok": 9, "due": 1}).save(journal, "lab")
    said = cli("status", "lab").err
    assert "first ends apiserver of cp-1, 2100-01-01 00:00 UTC" in said
    assert "1 due; next: bmk certs show lab" in said


def test_an_interrupted_renewal_is_continued_by_its_own_command(cli: Any, journal: Journal) -> None:
    """Not by provision, which renews nothing."""
    journal.append(Event("bmk", "phase.started", "Renew its certificates", "cp-1", "certificates_renewed", run="r"))
    assert "bmk certs renew lab" in cli("status", "lab").err
    assert "bmk certs renew lab" in cli("why", "lab", "cp-1").out
