"""The role drift_timer on a Debian with systemd: a timer that looks by itself, and leaves page, JSON and metrics."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.containers.boot_server.conftest import Machine
from tests.containers.boot_server.test_role import recap

pytestmark = pytest.mark.containers

UNIT = "bmk-drift-hall"
STATE = "/var/lib/bmk-deployer/example"
OFTEN = ("-e", "drift_timer_calendar='*-*-* *:*:0/20'", "-e", "drift_timer_jitter=0")
PAGES, METRICS = "/var/lib/bmk-drift", "/var/lib/prometheus/node-exporter/bmk-drift-hall.prom"


@pytest.fixture(scope="module", autouse=True)
def state(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What bmk leaves when its user runs it: a journal and a key for that user alone; there is no ssh-keygen here."""
    machine.play()
    path = tmp_path_factory.mktemp("key") / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    for name in ("id_ed25519", "id_ed25519.pub"):
        text = path.with_name(name).read_text()
        machine.says("sh", "-c", f"umask 077; mkdir -p {STATE}/ssh; printf '%s' '{text}' > {STATE}/ssh/{name}")
    machine.says("chown", "-R", "bmk:bmk", STATE)
    journal = f"from bmk.journal import Journal; from pathlib import Path; Journal.open(Path('{STATE}'))"
    assert machine.run(sys.executable, "-c", journal, user="bmk").returncode == 0
    assert machine.says("stat", "-c", "%U %a", f"{STATE}/journal.db").split() == ["bmk", "600"]


def test_the_timer_runs_the_look_by_itself(machine: Machine) -> None:
    """Nobody starts the service: its timer does. Page, JSON and metrics are there, and say that nothing is known."""
    assert recap(machine.play(*OFTEN, book="drift.yml"))["failed"] == 0
    end = time.monotonic() + 120
    while machine.run("test", "-s", METRICS).returncode != 0:
        assert time.monotonic() < end, machine.run("journalctl", "-u", UNIT, "--no-pager").stdout[-3000:]
        time.sleep(1)
    assert "<!doctype html>" in machine.says("cat", f"{PAGES}/index.html")
    document = json.loads(machine.says("cat", f"{PAGES}/drift.json"))
    assert {t["cause"] for s in document["standings"] for t in s["troubles"]} == {"never-converged", "api"}
    assert 'bmk_drift_hosts{datacenter="example",state="unknown"}' in machine.says("cat", METRICS)
    assert machine.says("systemctl", "show", "-P", "Result", UNIT).strip() == "success"
    count = f"import sqlite3; print(*sqlite3.connect('{STATE}/journal.db').execute('select count(*) from drift_runs'))"
    runs = machine.run(sys.executable, "-c", count, user="bmk")
    assert runs.stdout.strip() not in ("", "(0,)"), "the look did not write the journal of the user"


def test_a_second_run_changes_nothing(machine: Machine) -> None:
    """Converged is converged, by a run and by check mode."""
    for more in ((), ("--check", "--diff")):
        said = recap(machine.play(*OFTEN, *more, book="drift.yml"))
        assert (said["failed"], said["changed"]) == (0, 0)


def test_two_looks_never_run_at_once(machine: Machine) -> None:
    """Who comes second ends at once and says so with the exit code of a lock."""
    machine.says("systemctl", "stop", f"{UNIT}.timer")
    start = re.search(r"ExecStart=(.*)", machine.says("cat", f"/etc/systemd/system/{UNIT}.service"))
    assert start is not None
    lock = next(word for word in start[1].split() if word.endswith("/lock"))
    machine.says("mkdir", "-p", str(Path(lock).parent))
    held = ("flock", lock, "flock", "--nonblock", "--conflict-exit-code", "7", lock, "true")
    assert machine.run(*held).returncode == 7


def test_the_service_may_do_little(machine: Machine) -> None:
    """systemd's own judgement of its sandbox: at most 2.0 of 10 are left open."""
    said = machine.run("systemd-analyze", "security", "--no-pager", f"{UNIT}.service").stdout
    exposure = re.search(r"Overall exposure level for .*: ([0-9.]+)", said)
    assert exposure is not None, said
    assert float(exposure[1]) <= 2.0
