"""A real cluster that somebody was on: found, named, repaired by `bmk provision`, and drift is empty again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.containers.drift.plants import PLANTED, RUNNING, Plant
from tests.lab import Lab
from tests.planted import Row, record

pytestmark = pytest.mark.containers
# what comes along with what was planted, on the same subject
ALONG = ("authorized_keys:root ", "units:bird.service", "files:/etc/systemd/system/bird.service")


def tell(config: pytest.Config, plant: Plant, repaired: str) -> None:
    record(config, Row(plant.words, plant.at, f"{plant.item} {plant.field}".strip(), plant.severity, repaired))


def eventually(lab: Lab, good: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Look again until it is so: kubelets and containers take their time."""
    end = time.monotonic() + 180
    while not good(standings := lab.drift(None)):
        assert time.monotonic() < end, standings
        time.sleep(1)
    return standings


def test_a_fresh_cluster_has_no_drift(lab: Lab) -> None:
    """Twice in a row: exit code 0, every host and the cluster clean, BMCs included."""
    for _ in range(2):
        assert {name: s["state"] for name, s in lab.drift(0).items()} == {
            "cp-1": "clean",
            "worker-1": "clean",
            "drift": "clean",
        }


def test_what_was_planted_is_found_and_nothing_else(lab: Lab, pytestconfig: pytest.Config) -> None:
    """An intruder and a careless colleague: a row each, with its class; no false positive."""
    for plant in PLANTED:
        lab.bmk("ssh", plant.host, "--", f"set -e; {plant.script}")
    found = lab.drift(2)
    rows = {(name, d["item"], d["field"]): d for name, s in found.items() for d in s["differences"]}
    for plant in PLANTED:
        difference = rows.pop((plant.at, plant.item, plant.field), None)
        assert difference is not None, f"{plant.at} {plant.item} not found among {sorted(rows)}"
        assert difference["severity"] == plant.severity, plant.item
        assert difference["repair"], plant.item
        tell(pytestconfig, plant, "not yet")
    assert [row for row in rows if not row[1].startswith(ALONG)] == []
    pod = next(d for d in found["cp-1"]["differences"] if d["item"].endswith("kube-scheduler.yaml"))
    assert '+    mine: "yes"' in pod["diff"]


def test_provision_repairs_exactly_that(lab: Lab, pytestconfig: pytest.Config) -> None:
    """The plan names it, the run puts it right, and the next drift is empty; nothing is left to do."""
    plan = lab.bmk("plan", code=2)
    assert "delete the ClusterRoleBinding rogue" in plan
    assert "delete the RoleBinding kube-system/sly" in plan
    assert "put right" in plan
    lab.bmk("provision", "--yes")
    standings = lab.drift(0)
    assert [d for s in standings.values() for d in s["differences"]] == []
    assert lab.bmk("ssh", "worker-1", "--", "systemctl", "is-active", "bird").strip() == "active"
    lab.bmk("plan", code=0)
    for plant in PLANTED:
        tell(pytestconfig, plant, "by provision")


def test_what_runs_otherwise_than_files_say_is_found_until_it_is_undone(lab: Lab, pytestconfig: pytest.Config) -> None:
    """Each with its class, nothing else; a person has to undo it, or `bmk provision` does, and says so before."""
    for plant, _ in RUNNING:
        lab.bmk("ssh", plant.host, "--", f"set -e; {plant.script}")
    undo = {plant.item: undo for plant, undo in RUNNING}

    def same(standings: dict[str, Any]) -> bool:
        differences = [d for s in standings.values() for d in s["differences"]]
        known = [(item, d) for d in differences for item in undo if d["item"].startswith(item)]
        assert all(d["severity"] == "security" and bool(d["repair"]) == (not undo[item]) for item, d in known)
        return len(differences) == len(undo) == len(known)

    eventually(lab, same)
    for script in filter(None, undo.values()):
        lab.bmk("ssh", "worker-1", "--", f"set -e; {script}")
    lab.bmk("provision", "--yes")
    eventually(lab, lambda standings: {s["state"] for s in standings.values()} == {"clean"})
    for plant, script in RUNNING:
        tell(pytestconfig, plant, "by hand" if script else "by provision")


def test_what_the_machine_told_its_bmc_is_found(lab: Lab, pytestconfig: pytest.Config) -> None:
    """A fan that failed since the seal is in the event log: breaking, with its words, until the log is clean."""
    plant = Plant(
        "a fan failed", "worker-1", "", "bmc:Critical event 1970-01-01T00:00:41Z Fan 3 failed", "", "breaking"
    )
    lab.bmk("lab break", "bmc-fan", "worker-1")
    (difference,) = lab.drift(2)["worker-1"]["differences"]
    assert (difference["item"], difference["severity"], difference["repair"]) == (plant.item, plant.severity, "")
    lab.bmk("lab heal", "bmc-fan", "worker-1")
    assert lab.drift(0)["worker-1"]["state"] == "clean"
    tell(pytestconfig, plant, "by hand")


def test_a_host_cannot_whitewash_itself(lab: Lab) -> None:
    """A file and the host's own record of it, changed alike: the next converge would believe it; drift does not."""
    lab.bmk("ssh", "worker-1", "--", f"python3 - <<'END'{WHITEWASH}END")
    found = {d["item"] for d in lab.drift(2)["worker-1"]["differences"]}
    assert found == {"files:/etc/containerd/config.toml", "files:/etc/bmk/manifest.json"}
    lab.bmk("provision", "--yes")
    assert lab.drift(0)["worker-1"]["differences"] == []
    assert "mine" not in lab.bmk("ssh", "worker-1", "--", "cat", "/etc/containerd/config.toml")


WHITEWASH = """
import hashlib, json, pathlib
file = pathlib.Path("/etc/containerd/config.toml")
old = hashlib.sha256(file.read_bytes()).hexdigest()
file.write_text(file.read_text() + "# mine\\n")
new = hashlib.sha256(file.read_bytes()).hexdigest()
for record in ("/etc/bmk/manifest.json", "/var/lib/bmk/sections/container_runtime.files.json"):
    path = pathlib.Path(record)
    path.write_text(path.read_text().replace(old, new))
"""


def test_why_names_drift_and_the_page_shows_it(lab: Lab, tmp_path: Any) -> None:
    """What drift found is in the host's story as a cause, and on the page."""
    lab.bmk("ssh", "worker-1", "--", "sysctl", "-qw", "net.ipv4.conf.all.send_redirects=1")
    lab.drift(2, "--limit", "worker-1")
    story = json.loads(lab.bmk("why", "worker-1", "-o", "json"))
    assert "net.ipv4.conf.all.send_redirects" in story["cause"]["what"]
    assert story["cause"]["next"].startswith("bmk provision")
    page = tmp_path / "page.html"
    lab.bmk("report", "--write", str(page))
    assert "net.ipv4.conf.all.send_redirects" in page.read_text()
    lab.bmk("provision", "--yes")


def test_a_reboot_is_no_drift(lab: Lab) -> None:
    """Settings, units and files come back as they were left."""
    before = _boot(lab)
    lab.bmk("power cycle", "worker-1", "--yes")
    end = time.monotonic() + 120
    while _boot(lab) in ("", before):
        assert time.monotonic() < end, "worker-1 does not come back"
        time.sleep(1)
    while (
        json.loads(lab.bmk("drift", "--limit", "worker-1", "-o", "json", code=None))["standings"][0]["state"] != "clean"
    ):
        assert time.monotonic() < end, lab.bmk("drift", "--limit", "worker-1", code=None)
    assert lab.drift(0, "--limit", "worker-1")["worker-1"]["state"] == "clean"


def test_verify_proves_that_it_works(lab: Lab) -> None:
    """Suites on every host and the smoke pods, all passed."""
    document = json.loads(lab.bmk("verify", "-o", "json"))
    assert [r for r in document["results"] if r["outcome"] not in ("passed", "skipped")] == []
    assert {r["where"] for r in document["results"]} >= {"cp-1", "worker-1"}


def _boot(lab: Lab) -> str:
    """When PID 1 of the worker started; nothing while it does not answer."""
    return lab.bmk("ssh", "worker-1", "--", "stat", "-c", "%Y", "/run/systemd", code=None).strip()
