"""The encryption key of lab-ha, on three control planes: rotated under load, killed, continued; old backups restore."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bmk.journal.records import KeyRotationOrder
from tests.containers.certs.test_certs import polled
from tests.containers.rooted import until
from tests.lab import Lab, own_file, ready, running, wants_backups

pytestmark = pytest.mark.containers
SEED = int(os.environ.get("BMK_KILLS_SEED") or time.time_ns())
KILLS = 20
PLANES = ("cp-1", "cp-2", "cp-3")
KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf"
OUTAGE = 30.0  # seconds through the VIP that nobody may be without an answer; the count of errors is printed
FILE = "/etc/kubernetes/bmk/encryption.yaml"
ETCD = (
    "etcdctl --endpoints https://127.0.0.1:2379 --cacert /etc/kubernetes/pki/etcd/ca.crt "
    "--cert /etc/kubernetes/pki/etcd/server.crt --key /etc/kubernetes/pki/etcd/server.key"
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """lab-ha, from powered off to Ready, with a backup."""
    place = tmp_path_factory.mktemp("encryption")
    file = own_file(place)
    wants_backups(file, place)
    with running("lab-ha", str(file), place, own_cache=True) as lab:
        lab.bmk("provision", "--yes")
        yield lab


def keys(lab: Lab) -> list[list[str]]:
    """Names in the files of all control planes, and that equal names are equal keys."""
    found: dict[str, set[str]] = {}
    names = []
    for host in PLANES:
        body = json.loads(lab.on(host, f"cat {FILE}"))["resources"][0]["providers"][0]["secretbox"]["keys"]
        names.append([key["name"] for key in body])
        for key in body:
            found.setdefault(key["name"], set()).add(key["secret"])
    assert all(len(secrets) == 1 for secrets in found.values())
    return names


def under(lab: Lab) -> set[str]:
    """Names of the keys that secrets in etcd are under, as each member holds them."""
    show = r"grep -ao 'k8s:enc:[a-z]*:v1:[A-Za-z0-9._-]*:'"
    said = [lab.on(host, f"{ETCD} get /registry/secrets/ --prefix --print-value-only | {show}") for host in PLANES]
    return {line.split(":")[4] for text in said for line in text.split()}


@contextmanager
def written(lab: Lab) -> Iterator[None]:
    """Secrets are made on cp-1 meanwhile; each that was confirmed is there afterwards, as it was written."""
    lab.on("cp-1", "rm -f /opt/acknowledged /opt/stop; touch /opt/acknowledged")
    loop = (
        "n=0; while ! test -e /opt/stop; do n=$((n+1)); "
        f"{KUBECTL} create secret generic w$n -n default --from-literal=v=$n >/dev/null 2>&1 "
        "&& echo $n >> /opt/acknowledged; done; touch /opt/stopped"
    )
    lab.on("cp-1", f"rm -f /opt/stopped; nohup sh -c '{loop}' >/dev/null 2>&1 &")
    try:
        yield
    finally:
        lab.on("cp-1", "touch /opt/stop")
    until(lambda: "there" in lab.on("cp-1", "test -e /opt/stopped && echo there || true"), "the writer has stopped")
    numbers = lab.on("cp-1", "cat /opt/acknowledged").split()
    template = "{{range .items}}{{.metadata.name}}={{.data.v}} {{end}}"
    read = dict(
        part.split("=", 1)
        for part in lab.on("cp-1", f"{KUBECTL} get secrets -n default -o go-template='{template}'").split()
        if part.startswith("w")
    )
    assert numbers
    assert [n for n in numbers if f"w{n}" not in read] == []
    lab.on("cp-1", f"{KUBECTL} delete secrets -n default --all --wait=false")


def all_well(lab: Lab, key: str) -> None:
    """One key everywhere, nothing under another, nodes Ready, and drift, hardening and status say so."""
    assert keys(lab) == [[key]] * 3
    assert under(lab) == {key}
    assert all(ready(node) for node in lab.nodes().values())
    assert {s["state"] for s in lab.drift(None).values()} == {"clean"}
    assert KeyRotationOrder.load(lab.journal, lab.name) is None
    lab.bmk("plan")


def test_it_is_refused_until_there_is_a_backup(lab: Lab) -> None:
    """With the next command, which makes it possible."""
    lab.bmk("certs rotate-encryption-key", "lab-ha", "--plan", code=6)
    lab.bmk("backup")
    assert "keys key1, key2" in lab.bmk("certs rotate-encryption-key", "lab-ha", "--plan", code=2)


def test_the_key_is_replaced_under_load_and_old_backups_restore(lab: Lab, record_property: Any) -> None:
    """Clients' errors are counted; the backup from before needs nothing but itself; so does one from afterwards."""
    with polled(lab) as counted, written(lab):
        started = time.monotonic()
        lab.bmk("certs rotate-encryption-key", "lab-ha", "--yes")
        seconds = time.monotonic() - started
    sys.stdout.write(f"rotated in {seconds:.0f} s; the client counted {counted}\n")
    record_property("client", counted)
    all_well(lab, "key2")
    assert counted["longest"] < OUTAGE, counted
    (old,) = [path.name for path in (lab.state / "kept").iterdir()]
    lab.bmk("backup")
    identity = ("--identity", str(lab.state / "par.key"))
    lab.bmk("restore", "lab-ha", "--dry-run", *identity)
    lab.bmk("restore", "lab-ha", "--dry-run", "--backup", old, "--older", *identity)


def test_drift_knows_a_rotation_that_was_interrupted(lab: Lab) -> None:
    """As soon as a first file is another one: it is expected, status says so, and another content is drift."""
    process = lab.start("certs rotate-encryption-key", "lab-ha", "--yes")
    until(lambda: keys(lab) != [["key2"]] * 3, "a first file has two keys")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert {s["state"] for s in lab.drift(None).values()} == {"clean"}
    order = KeyRotationOrder.load(lab.journal, lab.name)
    assert order is not None
    assert order.key == "key3"
    assert "rotate-encryption-key" in lab.bmk("why", "lab-ha")
    lab.bmk("certs rotate-encryption-key", "lab-ha", "--yes")
    all_well(lab, "key3")


@pytest.mark.parametrize("seed", [SEED])  # in the name of the test: BMK_KILLS_SEED repeats it
def test_killed_at_twenty_points_it_is_finished(lab: Lab, seed: int, record_property: Any) -> None:
    """kill -9 of the command at random moments: the same command goes on, and every confirmed secret is there."""
    chance = random.Random(seed)
    before = keys(lab)[0][0]
    with polled(lab) as counted, written(lab):
        lab.killed(chance, (1, 40), KILLS, "certs rotate-encryption-key", "lab-ha", "--yes")
    sys.stdout.write(f"seed {seed}: the client counted {counted}\n")
    record_property("client", counted)
    (key,) = keys(lab)[0]
    assert key != before
    all_well(lab, key)
    assert counted["longest"] < OUTAGE, counted
