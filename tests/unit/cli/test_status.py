"""`bmk status`: where each host is, told from the journal."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from bmk.cli.status import _table
from bmk.journal import Journal
from bmk.journal.host_status import HostStatus
from bmk.journal.records import UpgradeRecord


def where(cli, *args: str) -> dict[str, tuple[str, str | None, str]]:
    """State, phase and text of each host."""
    rows = json.loads(cli("status", "lab", "-o", "json", *args).out)
    return {row["host"]: (row["state"], row["phase"], row["now"]) for row in rows}


def test_without_a_journal_it_says_what_to_type_and_makes_none(cli, state):
    """Before anything was done every host is new, the next command is told, and asking leaves nothing behind."""
    said = cli("status", "lab")
    assert said.code == 0
    assert said.out.splitlines()[1].split() == ["cp-1", "control_plane", "new", "-", "-", "not", "registered", "yet"]
    assert "next (cp-1, worker-1): bmk provision lab" in said.err
    assert not state.exists()


def test_image_progress_shows_rate_and_time_left(cli, teller, at_work):
    """While the image is written, a host's line says how fast and how long still."""
    teller.phase("cp-1", "imaging", "Write the image", done=False)
    for number in range(3):
        data = {"stage": "image", "bytes": number * 50_000_000, "total": 400_000_000}
        teller.tell("cp-1", "agent", "image.progress", "words", **data)
    assert where(cli)["cp-1"] == ("running", "imaging", "image 100 MB, 25 %, 50.0 MB/s, 6 s left")
    (row, _) = json.loads(cli("status", "lab", "-o", "json").out)
    assert row["image"] == {"bytes": 100_000_000, "total": 400_000_000, "mb_per_s": 50.0}


def test_a_failed_host_says_what_why_and_next(cli, teller):
    """What a host died of is in its row, the next command below the table; the exit code is still 0."""
    teller.phase("cp-1", "booting", "Boot the installer", done=False)
    teller.failed("cp-1", "booting", "no DHCP request seen in 600 s", "cabling", "bmk console lab cp-1")
    said = cli("status", "lab")
    assert said.code == 0
    assert "no DHCP request seen in 600 s" in said.out
    assert "next (cp-1): bmk console lab HOST" in said.err
    (row,) = json.loads(cli("status", "lab", "-o", "json", "--state", "failed").out)
    assert (row["why"], row["next"], row["since"]) == ("cabling", "bmk console lab cp-1", "2100-01-01T00:00:02Z")


def test_a_hint_never_names_the_command_that_printed_it(cli, teller):
    """An error that recommends bmk status becomes bmk why."""
    teller.failed("cp-1", "joined", "no API server answers", hint="bmk status lab")
    assert "next (cp-1): bmk why lab HOST" in cli("status", "lab").err


def test_a_host_of_a_killed_run_is_shown_as_interrupted(cli, teller):
    """A phase that nobody carries on is interrupted, and provision continues it."""
    teller.phase("cp-1", "configured", "Configure it", done=False)
    assert where(cli)["cp-1"][:2] == ("interrupted", "configured")
    assert "next (cp-1, worker-1): bmk provision lab" in cli("status", "lab").err


def test_a_run_with_little_to_do_leaves_a_proven_host_ready(cli, teller):
    """A host that was proven and then only configured again is ready, though no new proof was needed."""
    teller.journal.record("cp-1", "ready", {"cluster": "lab"})
    teller.phase("cp-1", "configured", "Configure it")
    assert where(cli)["cp-1"][0] == "ready"


def test_the_last_phase_ends_ready(cli, teller, at_work):
    """A host is ready as soon as its last phase is done, also while others are still on their way."""
    teller.phase("cp-1", "ready", "Prove that it works")
    assert where(cli)["cp-1"][0] == "ready"


def test_a_deleted_machine_starts_over(cli, teller):
    """What was deleted with its lab is not called ready for ever."""
    teller.phase("cp-1", "ready", "Prove that it works")
    teller.tell("cp-1", "lab", "host.forgotten", "its machine was deleted")
    assert where(cli)["cp-1"] == ("new", None, "its machine was deleted")


def test_limit_and_name(cli, teller):
    """Hosts are chosen as everywhere, and -o name prints names for a loop."""
    assert cli("status", "lab", "--limit", "worker", "-o", "name").out == "worker-1\n"


@pytest.mark.parametrize(("typed", "hint"), [("wroker", "worker"), ("cp1", "cp-1")])
def test_an_unknown_limit_is_a_wrong_configuration(cli, typed, hint):
    """A name that is not there ends with exit code 3 and the nearest name."""
    said = cli("status", "lab", "--limit", typed)
    assert (said.code, f"did you mean '{hint}'?" in said.err) == (3, True)


def test_watch_needs_a_terminal(cli, journal):
    """Where nobody looks, --watch names the command for pipes."""
    said = cli("status", "lab", "--watch")
    assert (said.code, "bmk events lab --follow" in said.err) == (64, True)


def test_watched_table_puts_trouble_first():
    """With more hosts than lines, failed hosts are shown and the others counted."""
    found = [HostStatus(f"n{i}", "ready", "ready", 0.0, "") for i in range(50)]
    found[40] = HostStatus("n40", "failed", "booting", 0.0, "no DHCP")
    table = _table(found, height=20)
    assert next(iter(table.columns[0].cells)) == "n40"
    assert table.caption == "49 of 50 ready, 1 failed, 35 not shown"


def test_the_table_is_as_reviewed(cli, teller, at_work, golden):
    """One host of each kind: the table that people see."""
    teller.phase("cp-1", "booting", "Boot the installer", done=False)
    teller.tell("cp-1", "http", "boot.answered", "answered install")
    teller.failed("worker-1", "powered", "the BMC does not answer", "503", "bmk power status lab worker-1")
    said = cli("status", "lab", "-o", "wide")
    golden("status.txt", re.sub(r"[\d.]+ MB", "0.0 MB", said.out + said.err))  # an empty server takes some


def test_the_tasks_of_the_boot_service_are_shown(cli, teller, monkeypatch):
    """Alive, begun again how often and why; a service that was killed is told as not heard."""
    from bmk.boot.supervise import KEY, OWNER, ServiceState, TaskState  # noqa: PLC0415

    troubled = TaskState(alive=False, restarts=3, error="OSError: No space left", failed=time.time() - 5)
    state = ServiceState(at=time.time(), tasks={"files": troubled, "grants": TaskState()})
    teller.tell("cp-1", "bmk", "x", "x")
    assert "boot service" not in cli("status", "lab").err
    teller.journal.record(OWNER, KEY, state.model_dump())
    said = cli("status", "lab").err
    assert re.search(r"boot service: heard \d+ s ago; files waits to begin again, restarted 3 times", said)
    assert "OSError: No space left" in said
    assert "grants alive" in said
    teller.journal.record(OWNER, KEY, {**state.model_dump(), "at": time.time() - 300})
    assert "boot service: NOT heard for 5 min" in cli("status", "lab").err


def test_status_says_how_far_an_upgrade_is(cli: Any, journal: Journal) -> None:
    """Those that are left behind do not count; an aborted one is resumed."""
    known = UpgradeRecord(target="1.37.2", members=("cp-1", "w-1", "w-2"), done=("cp-1",), without=("w-2",))
    known.save(journal, "apps")
    said = cli("status", "lab").err
    assert "upgrade of apps to 1.37.2: 1 of 2 hosts done" in said
    assert "next: bmk upgrade lab apps\n" in said
    known.model_copy(update={"aborted": True}).save(journal, "apps")
    assert "next: bmk upgrade lab apps --resume\n" in cli("status", "lab").err
