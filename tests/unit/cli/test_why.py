"""`bmk why`: one timeline from all sources, the likely cause, the next command."""

from __future__ import annotations

import json

import pytest

from bmk.actions.provision import PROVISION
from bmk.journal.causes import SINCE


def why(cli, *args: str):
    """The story of cp-1 as data."""
    return json.loads(cli("why", "lab", "cp-1", "-o", "json", *args).out)


@pytest.fixture
def silent(teller, state):
    """A host that was switched on, asked for an address again and again, and whose ramdisk never called."""
    teller.phase("cp-1", "registered", "Ask its BMC who it is")
    teller.phase("cp-1", "powered", "Power on", done=False)
    teller.tell("cp-1", "bmc", "bmc.retry", "503 Service Unavailable; trying again", level="warning")
    teller.tell("cp-1", "bmc", "bmc.boot", "boot once from pxe, read back")
    teller.tell("cp-1", "bmk", "phase.finished", "Power on: done", phase="powered", run="r1")
    teller.phase("cp-1", "booting", "Boot the installer", done=False)
    for _ in range(3):
        for text in ("DHCPDISCOVER on bmk0", "DHCPOFFER 10.77.0.11 on bmk0"):
            teller.tell("cp-1", "dhcp", "dhcp." + text[4:9].lower(), text)
        teller.tell("cp-1", "http", "boot.answered", "answered install", decision="install")
    teller.failed(
        "cp-1", "booting", "the install ramdisk was served and never reported", "no driver", "bmk console lab cp-1"
    )
    console = state / "lab" / "lab" / "machines" / "cp-1" / "console.log"
    console.parent.mkdir(parents=True)
    console.write_bytes(b"\x1b[2J\x1b[01;01HBdsDxe: loading\r\n\x1b[0m\r\nKernel panic - not syncing\r\n\xff\xfe")


def test_the_timeline_is_as_reviewed(cli, silent, golden):
    """Sources in one timeline, repetition folded, console, cause and next command at the end."""
    said = cli("why", "lab", "cp-1")
    assert said.code == 0
    golden("why.txt", said.out)


def test_repetition_is_one_row(cli, silent):
    """A machine that asks again and again fills one row a kind of event, with count and last time."""
    rows = [row for row in why(cli)["timeline"] if row["source"] in ("dhcp", "http")]
    assert [(row["count"], row["text"]) for row in rows] == [
        (3, "DHCPDISCOVER on bmk0"),
        (3, "DHCPOFFER 10.77.0.11 on bmk0"),
        (3, "answered install"),
    ]
    assert all(row["last"] - row["at"] == 6 for row in rows)


def test_image_progress_is_one_row_a_stage(cli, teller):
    """Hundreds of progress events are two rows: written, and read back."""
    teller.phase("cp-1", "imaging", "Write the image", done=False)
    for stage in ("image", "read back"):
        for number in range(200):
            data = {"stage": stage, "bytes": number * 10_000_000, "total": 2_000_000_000}
            teller.tell("cp-1", "agent", "image.progress", f"{stage} {number}", **data)
    rows = [row for row in why(cli)["timeline"] if row["kind"] == "image.progress"]
    assert [(row["count"], row["text"]) for row in rows] == [
        (200, "image 1990 MB, 100 %, 10.0 MB/s, 1 s left"),
        (200, "read back 1990 MB, 100 %, 10.0 MB/s, 1 s left"),
    ]


def test_a_second_attempt_is_told_anew(cli, teller):
    """What repeats after a phase began again is not folded into the attempt before."""
    for _ in range(2):
        teller.phase("cp-1", "booting", "Boot the installer", done=False)
        teller.tell("cp-1", "dhcp", "dhcp.discover", "DHCPDISCOVER on bmk0")
    assert [row["kind"] for row in why(cli)["timeline"]] == ["phase.started", "dhcp.discover"] * 2


def test_events_of_others_get_the_phase_of_their_time(cli, teller):
    """DHCP and HTTP know no phases; in the timeline they stand in the one that was under way."""
    teller.phase("cp-1", "booting", "Boot the installer", done=False)
    teller.tell("cp-1", "dhcp", "dhcp.discover", "DHCPDISCOVER on bmk0")
    assert why(cli)["timeline"][-1]["phase"] == "booting"


def test_a_hint_never_names_the_command_that_printed_it(cli, teller):
    """An error that says `bmk why` is told with a command that leads on."""
    teller.phase("cp-1", "joined", "Join the cluster", done=False)
    teller.tell("cp-1", "ansible", "task.failed", "boom", phase="joined", run="r1", level="error", task="Join")
    teller.failed("cp-1", "joined", "Ansible: Join failed", "boom", "bmk why lab cp-1; when it is corrected, again")
    assert why(cli)["cause"] == {
        "what": "Ansible: Join failed",
        "why": "boom",
        "next": "bmk ssh lab cp-1 to look, then run the same command again",
    }


def test_an_interrupted_run_is_continued(cli, teller):
    """After kill -9 of provision, the cause is the interruption and the next command continues."""
    teller.phase("cp-1", "imaging", "Write the image", done=False)
    story = why(cli)
    assert story["verdict"] == "interrupted in imaging"
    assert (story["cause"]["what"], story["cause"]["next"]) == ("the run was interrupted", "bmk provision lab")


def test_a_host_on_its_way_is_no_failure(cli, teller, at_work):
    """While a run is at work and the host is heard of, no cause is guessed."""
    teller.phase("cp-1", "configured", "Configure it", done=False)
    teller.tell("cp-1", "ansible", "task.ok", "Install packages", phase="configured", run="r1", level="debug")
    assert why(cli)["cause"] == {
        "what": "it is on its way",
        "why": "Install packages",
        "next": "bmk status lab --watch",
    }


def test_a_host_that_stopped_reporting_gets_a_likely_cause(cli, teller, at_work):
    """While a run is at work but nothing is heard for a minute, the likely cause so far is told."""
    teller.now = 1e9
    teller.phase("cp-1", "booting", "Boot the installer", done=False)
    story = why(cli)
    assert story["verdict"] == "in booting, not over yet"
    assert story["cause"]["what"].startswith("no DHCP request seen")


def test_evidence_begins_where_the_phases_say():
    """The judgement looks as far back as the phases themselves do when their deadline passes."""
    assert {p.name: p.evidence_from for p in PROVISION.phases if p.evidence_from} == SINCE


def test_a_ready_host_has_no_cause(cli, teller):
    """All well: the verdict says so and nothing else is asked of the reader."""
    teller.phase("cp-1", "ready", "Prove that it works")
    story = why(cli)
    assert (story["state"], story["cause"]) == ("ready", None)
    assert "next:" not in cli("why", "lab", "cp-1").out


def test_earlier_runs_are_left_out_unless_asked_for(cli, teller):
    """The timeline begins with the newest run; --all shows everything, debug events too."""
    teller.tell("cp-1", "bmk", "phase.started", "old", phase="powered", run="r0")
    teller.tell("cp-1", "bmk", "phase.started", "new", phase="powered", run="r1")
    teller.tell("cp-1", "bmk", "phase.waiting", "waits", phase="powered", run="r1", level="debug")
    assert [row["text"] for row in why(cli)["timeline"]] == ["new"]
    assert [row["text"] for row in why(cli, "--all")["timeline"]] == ["old", "new", "waits"]


def test_long_timelines_show_their_end(cli, teller):
    """The newest rows are shown, and how many came before."""
    for number in range(50):
        teller.tell("cp-1", "lab", "lab.note", f"note {number}")
    out = cli("why", "lab", "cp-1", "--lines", "5").out
    assert out.startswith("... 45 earlier rows; --lines 0 shows them")
    assert "note 45" in out
    assert "note 44" not in out


def test_without_a_journal_it_says_what_to_type(cli, state):
    """Nothing happened yet: the next command is provision, and asking leaves nothing behind."""
    said = cli("why", "lab", "cp-1")
    assert said.out == "\ncp-1: nothing was done with it yet\n  next: bmk provision lab\n"
    assert not state.exists()


def test_an_unknown_host_is_a_wrong_configuration(cli):
    """A name that is not there ends with exit code 3 and the nearest name."""
    said = cli("why", "lab", "cp1")
    assert (said.code, "did you mean 'cp-1'?" in said.err) == (3, True)
