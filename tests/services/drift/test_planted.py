"""One difference of every kind that a plain host can have, planted by hand: each found, classified, none invented."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bmk.report.drift import schema
from tests.planted import Row, record
from tests.services.drift.conftest import COUNT, Office

pytestmark = pytest.mark.services


def append(name: str, text: str) -> Callable[[Path], None]:
    def plant(root: Path) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(text)

    return plant


def same_size_and_time(root: Path) -> None:
    """Other bytes, nothing else that stat shows."""
    path = root / "usr/local/bin/kubelet"
    before = path.stat()
    path.write_text("#!/bin/sh\n: two\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHfA0sYbF3xJ1H3N3mXoXf7p4VJg2ZKbq3hQm0m0m0m0 intruder\n"
MANIFESTS, UNITS = "etc/kubernetes/manifests", "etc/systemd/system"
CONFIG, DROP_IN = "etc/containerd/config.toml", f"{UNITS}/kubelet.service.d"
# number of the host, what is done to it in words and in deed, what is found (item, field) and its class
PLANTED: list[tuple[int, str, Callable[[Path], object], set[tuple[str, str]], str]] = [
    (
        1,
        "other bytes, same size and time",
        same_size_and_time,
        {("files:/usr/local/bin/kubelet", "sha256")},
        "security",
    ),
    (
        2,
        "a line in containerd's configuration",
        append(CONFIG, "# mine\n"),
        {(f"files:/{CONFIG}", "sha256")},
        "degraded",
    ),
    (
        3,
        "containerd's configuration for everybody",
        lambda root: (root / CONFIG).chmod(0o666),
        {(f"files:/{CONFIG}", "mode")},
        "security",
    ),
    (
        4,
        "another static pod",
        append(f"{MANIFESTS}/evil.yaml", "kind: Pod\n"),
        {(f"files:/{MANIFESTS}/evil.yaml", "")},
        "security",
    ),
    (
        5,
        "a CNI plugin deleted",
        lambda root: (root / "opt/cni/bin/bridge").unlink(),
        {("files:/opt/cni/bin/bridge", "")},
        "breaking",
    ),
    (
        6,
        "a job of cron",
        append("etc/cron.d/backdoor", "* * * * * root sh\n"),
        {("files:/etc/cron.d/backdoor", "")},
        "security",
    ),
    (
        7,
        "a second user with the number 0",
        append("etc/passwd", "toor:x:0:0::/root:/bin/sh\n"),
        {("users:toor", ""), ("authorized_keys:toor", "")},
        "security",
    ),
    (
        8,
        "another key for root",
        append("root/.ssh/authorized_keys", KEY),
        {("authorized_keys:root", ""), ("files:/root/.ssh/authorized_keys", "sha256")},
        "security",
    ),
    (
        9,
        "a library for every process",
        append("etc/ld.so.preload", "\n"),
        {("files:/etc/ld.so.preload", "")},
        "security",
    ),
    (
        10,
        "a static pod edited",
        append(f"{MANIFESTS}/etcd.yaml", "password: hunter2\nport: 1\n"),
        {(f"files:/{MANIFESTS}/etcd.yaml", "sha256")},
        "security",
    ),
    (
        11,
        "a drop-in for the kubelet",
        append(f"{DROP_IN}/10-evil.conf", "[Service]\n"),
        {(f"files:/{DROP_IN}", ""), (f"files:/{DROP_IN}/10-evil.conf", "")},
        "security",
    ),
    (
        13,
        "another program in the path",
        append("usr/local/bin/nc", "#!/bin/sh\n"),
        {("files:/usr/local/bin/nc", "")},
        "security",
    ),
    (
        14,
        "su without a password",
        append("etc/pam.d/su", "auth sufficient pam_permit.so\n"),
        {("files:/etc/pam.d/su", "")},
        "security",
    ),
]


def tell(config: pytest.Config, words: str, where: str, differences: list[dict[str, Any]]) -> None:
    """Into the table. Nobody repairs here: what `bmk provision` would do is what is told."""
    for d in differences:
        how = "provision would" if d["repair"] else "by a person"
        record(config, Row(words, where, f"{d['item']} {d['field']}".strip(), d["severity"], how))


def test_nothing_is_found_on_hosts_as_they_were_left(office: Office) -> None:
    """Twice in a row: no difference on any host. The cluster's API is unknown, and that is not hidden: exit code 4."""
    for _ in range(2):
        done = office.drift("-o", "json")
        document = json.loads(done.stdout)
        jsonschema.validate(document, schema())
        assert [s["differences"] for s in document["standings"]] == [[]] * (COUNT + 1)
        assert {s["name"] for s in document["standings"] if s["state"] == "unknown"} == {"c"}
        assert done.returncode == 4


def test_every_planted_difference_is_found_and_nothing_else(office: Office, pytestconfig: pytest.Config) -> None:
    """A row a host: the very items, their class, and no false positive on the host that nobody touched."""
    for number, _, plant, _, _ in PLANTED:
        plant(office.root(number))
    found = office.document()
    for number, words, _, wanted, severity in PLANTED:
        standing = found[f"n{number}"]
        items = {(d["item"].split(" ssh-")[0], d["field"]) for d in standing["differences"]}
        assert items == wanted, f"n{number}"
        assert standing["state"] == severity, f"n{number}"
        tell(pytestconfig, words, f"n{number}", standing["differences"])
    assert found["n12"]["differences"] == []
    assert found["n12"]["state"] == "clean"


def test_a_difference_has_a_diff_without_secrets_an_owner_and_a_command(office: Office) -> None:
    """What changed is shown; passwords and tokens of either side are not."""
    (difference,) = office.document("--limit", "n10")["n10"]["differences"]
    assert "+port: 1" in difference["diff"]
    assert "hunter2" not in json.dumps(difference)
    assert "0123456789abcdef" not in difference["diff"]
    assert difference["owner"] == "kubeadm"
    assert difference["next"] == "bmk provision office --limit n10"


def test_first_seen_stays_and_goes(office: Office) -> None:
    """A difference keeps the time at which it was seen first; when it is gone and comes back, it is new."""
    path = office.root(12) / "etc/cron.d/now"
    path.write_text("x\n")
    first = office.document("--limit", "n12")["n12"]["differences"][0]["since"]
    assert office.document("--limit", "n12")["n12"]["differences"][0]["since"] == first
    done = office.drift("--limit", "n12", "--since", "1s", "-o", "json")
    assert json.loads(done.stdout)["standings"][0]["name"] == "n12"
    path.unlink()
    assert office.document("--limit", "n12")["n12"]["differences"] == []


def test_only_shows_one_class_and_counts_it(office: Office) -> None:
    """--only breaking: the host with a missing binary, and nobody else's differences."""
    found = office.document("--only", "breaking")
    assert {name for name, s in found.items() if s["differences"]} == {"n5"}


def test_what_is_expected_does_not_count(office: Office) -> None:
    """An entry with a reason excuses; the same entry, when it is over, does not."""
    entry = "  expected:\n    - {{items: ['files:/etc/cron.d/*'], hosts: [n6], reason: agreed with x, until: {until}}}"
    try:
        office.write(entry.format(until="2099-01-01"))
        (difference,) = (standing := office.document("--limit", "n6")["n6"])["differences"]
        assert standing["state"] == "clean"
        assert difference["expected"] == "agreed with x (until 2099-01-01)"
        office.write(entry.format(until="2020-01-01"))
        (difference,) = (standing := office.document("--limit", "n6")["n6"])["differences"]
        assert standing["state"] == "security"
        assert "which is over" in difference["note"]
    finally:
        office.write()


def test_a_setting_of_the_kernel_at_run_time(office: Office) -> None:
    """Nothing on disk says it: the hosts share a network here, so all of them tell it."""
    office.sysctl("net/ipv4/ip_forward", "0")
    try:
        (difference,) = office.document("--limit", "n12")["n12"]["differences"]
        assert (difference["item"], difference["have"]) == ("sysctls:net.ipv4.ip_forward", "0")
        assert difference["owner"] == "role node_baseline"
    finally:
        office.sysctl("net/ipv4/ip_forward", "1")


@pytest.mark.parametrize(("kind", "item"), [("STREAM", "listeners:tcp 4444"), ("DGRAM", "listeners:udp 4444")])
def test_a_listener_that_was_not_there(office: Office, pytestconfig: pytest.Config, kind: str, item: str) -> None:
    """Somebody opened a port, TCP or UDP: named with its process."""
    with office.listening(kind, 4444):
        (difference,) = office.document("--limit", "n12")["n12"]["differences"]
    assert difference["item"].startswith(item)
    assert difference["severity"] == "security"
    tell(pytestconfig, f"a port opened ({kind})", "n12", [difference])


def test_a_route_that_was_not_there(office: Office, pytestconfig: pytest.Config) -> None:
    """Traffic for others is led away: all hosts share a network here, so all of them tell it."""
    with office.route("10.99.0.0/16", "via", "10.77.200.1"):
        (difference,) = office.document("--limit", "n12")["n12"]["differences"]
    assert difference["item"] == "routes:10.99.0.0/16 via 10.77.200.1"
    assert difference["severity"] == "security"
    tell(pytestconfig, "a route set by hand", "n12", [difference])


@pytest.mark.parametrize(("output", "has"), [("table", "next: bmk provision office"), ("wide", "| +port: 1"),
                                             ("yaml", "datacenter: office"), ("junit", "<testsuites"),
                                             ("prom", 'bmk_drift_differences{datacenter="office",severity="security"}'),
                                             ("html", "<!doctype html>")])  # fmt: skip
def test_every_format_says_it(office: Office, output: str, has: str) -> None:
    """Each format comes out on stdout, secrets in none of them."""
    done = office.drift("-o", output, "--limit", "n10")
    assert has in done.stdout, done.stderr
    assert "hunter2" not in done.stdout
    assert done.returncode == 4  # the API of the cluster is not there
