"""A real cluster that somebody was on: found, named, repaired by `bmk provision`, and drift is empty again."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.lab import Lab

pytestmark = pytest.mark.containers
KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf"
SCHEDULER = "/etc/kubernetes/manifests/kube-scheduler.yaml"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHfA0sYbF3xJ1H3N3mXoXf7p4VJg2ZKbq3hQm0m0m0m0 intruder"
SAME_SIZE_AND_TIME = """
python3 - <<'END'
import os
path = "/usr/local/bin/kubectl"
before = os.stat(path)
content = bytearray(open(path, "rb").read())
content[-1] ^= 1
open(path, "wb").write(content)
os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
assert os.stat(path).st_size == before.st_size
END
"""
# who, what is typed there, where it shows, what is found (item, field), its class
PLANTED: list[tuple[str, str, str, tuple[str, str], str]] = [
    (
        "cp-1",
        f"sed -i 's/^    component: kube-scheduler/&\\n    mine: \"yes\"/' {SCHEDULER}",
        "cp-1",
        (f"files:{SCHEDULER}", "sha256"),
        "security",
    ),
    (
        "worker-1",
        f"echo '{KEY}' >> /root/.ssh/authorized_keys",
        "worker-1",
        ("files:/root/.ssh/authorized_keys", "sha256"),
        "security",
    ),
    (
        "worker-1",
        "sysctl -qw net.ipv4.conf.all.accept_redirects=1",
        "worker-1",
        ("sysctls:net.ipv4.conf.all.accept_redirects", "value"),
        "security",
    ),
    ("worker-1", SAME_SIZE_AND_TIME, "worker-1", ("files:/usr/local/bin/kubectl", "sha256"), "security"),
    (
        "worker-1",
        "systemctl stop bird; systemctl mask bird",
        "worker-1",
        ("units:bird.service", "masked"),
        "breaking",
    ),
    (
        "worker-1",
        "chmod 0666 /etc/containerd/config.toml",
        "worker-1",
        ("files:/etc/containerd/config.toml", "mode"),
        "security",
    ),
    (
        "worker-1",
        "echo '{}' > /etc/cni/net.d/99-mine.conflist",
        "worker-1",
        ("files:/etc/cni/net.d/99-mine.conflist", ""),
        "security",
    ),
    (
        "cp-1",
        f"{KUBECTL} label node worker-1 example.net/zone=b --overwrite",
        "worker-1",
        ("nodes:worker-1 label example.net/zone", "value"),
        "degraded",
    ),
    (
        "cp-1",
        f"{KUBECTL} taint node worker-1 mine=yes:NoSchedule",
        "worker-1",
        ("nodes:worker-1 taint mine:NoSchedule", ""),
        "degraded",
    ),
    (
        "cp-1",
        f"{KUBECTL} create clusterrolebinding rogue --clusterrole=cluster-admin --serviceaccount=default:default",
        "drift",
        ("bindings:rogue", ""),
        "security",
    ),
]
# what comes along with what was planted, on the same subject
ALONG = ("authorized_keys:root ", "units:bird.service", "files:/etc/systemd/system/bird.service")


def drift(lab: Lab, code: int, *arguments: str) -> dict[str, Any]:
    """Standings by name."""
    document = json.loads(lab.bmk("drift", "-o", "json", *arguments, code=code))
    return {s["name"]: s for s in document["standings"]}


def test_a_fresh_cluster_has_no_drift(lab: Lab) -> None:
    """Twice in a row: exit code 0, every host and the cluster clean, BMCs included."""
    for _ in range(2):
        assert {name: s["state"] for name, s in drift(lab, 0).items()} == {
            "cp-1": "clean",
            "worker-1": "clean",
            "drift": "clean",
        }


def test_what_was_planted_is_found_and_nothing_else(lab: Lab) -> None:
    """An intruder and a careless colleague: a row each, with its class; no false positive."""
    for host, script, _, _, _ in PLANTED:
        lab.bmk("ssh", host, "--", f"set -e; {script}")
    found = drift(lab, 2)
    rows = {(name, d["item"], d["field"]): d for name, s in found.items() for d in s["differences"]}
    for _, _, where, (item, field), severity in PLANTED:
        difference = rows.pop((where, item, field), None)
        assert difference is not None, f"{where} {item} not found among {sorted(rows)}"
        assert difference["severity"] == severity, item
        assert difference["repair"], item
    assert [row for row in rows if not row[1].startswith(ALONG)] == []
    pod = next(d for d in found["cp-1"]["differences"] if d["item"].endswith("kube-scheduler.yaml"))
    assert '+    mine: "yes"' in pod["diff"]


def test_provision_repairs_exactly_that(lab: Lab) -> None:
    """The plan names it, the run puts it right, and the next drift is empty; nothing is left to do."""
    plan = lab.bmk("plan", code=2)
    assert "delete the ClusterRoleBinding rogue" in plan
    assert "put right" in plan
    lab.bmk("provision", "--yes")
    standings = drift(lab, 0)
    assert [d for s in standings.values() for d in s["differences"]] == []
    assert lab.bmk("ssh", "worker-1", "--", "systemctl", "is-active", "bird").strip() == "active"
    lab.bmk("plan", code=0)


def test_a_host_cannot_whitewash_itself(lab: Lab) -> None:
    """A file and the host's own record of it, changed alike: the next converge would believe it; drift does not."""
    lab.bmk("ssh", "worker-1", "--", f"python3 - <<'END'{WHITEWASH}END")
    found = {d["item"] for d in drift(lab, 2)["worker-1"]["differences"]}
    assert found == {"files:/etc/containerd/config.toml", "files:/etc/bmk/manifest.json"}
    lab.bmk("provision", "--yes")
    assert drift(lab, 0)["worker-1"]["differences"] == []
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
    drift(lab, 2, "--limit", "worker-1")
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
    assert drift(lab, 0, "--limit", "worker-1")["worker-1"]["state"] == "clean"


def test_verify_proves_that_it_works(lab: Lab) -> None:
    """Suites on every host and the smoke pods, all passed."""
    document = json.loads(lab.bmk("verify", "-o", "json"))
    assert [r for r in document["results"] if r["outcome"] not in ("passed", "skipped")] == []
    assert {r["where"] for r in document["results"]} >= {"cp-1", "worker-1"}


def _boot(lab: Lab) -> str:
    """When PID 1 of the worker started; nothing while it does not answer."""
    return lab.bmk("ssh", "worker-1", "--", "stat", "-c", "%Y", "/run/systemd", code=None).strip()
