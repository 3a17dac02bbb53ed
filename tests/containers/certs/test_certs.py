"""Certificates of lab-ha with ten minutes left: seen, renewed in order under a client's load, killed and continued."""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bmk.certificates.kind import STATIC_PODS
from bmk.certificates.kinds import BY_NAME, KINDS
from bmk.datacenter.load import load_datacenter
from tests.aged import aged
from tests.containers.rooted import until
from tests.lab import Lab, ready, running

pytestmark = pytest.mark.containers
SEED = int(os.environ.get("BMK_KILLS_SEED") or time.time_ns())
KILLS = 20
PLANES = ("cp-1", "cp-2", "cp-3")
LEFT = timedelta(minutes=10)
MINE = [kind for kind in KINDS if kind.renewal == "kubeadm"]
OUTAGE = 30.0  # seconds through the VIP that nobody may be without an answer; the count of errors is printed


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """lab-ha, from powered off to Ready."""
    with running("lab-ha", "lab-ha", tmp_path_factory.mktemp("certs"), own_cache=True) as lab:
        lab.bmk("provision", "--yes")
        yield lab


def seen(lab: Lab) -> dict[tuple[str, str], dict[str, Any]]:
    """`bmk certs -o json`, by place and kind; the exit code is not looked at."""
    body = json.loads(lab.bmk("certs show", "-o", "json", code=None))
    return {(part["where"], part["kind"]): part for part in body["certificates"]}


def states(lab: Lab) -> set[str]:
    """Of what kubeadm made on all control planes."""
    names = {kind.name for kind in MINE}
    return {part["state"] for (where, kind), part in seen(lab).items() if where in PLANES and kind in names}


def age(lab: Lab) -> None:
    """All that kubeadm renews was signed a year ago, ends in ten minutes, and is in use."""
    begins, ends = datetime.now(UTC) - timedelta(days=365), datetime.now(UTC) + LEFT
    for host in PLANES:
        for kind in MINE:
            signer = BY_NAME[kind.signer].path
            script = f"for f in {kind.path} {signer} {signer.removesuffix('.crt')}.key; do base64 -w0 $f; echo; done"
            if kind.optional and not lab.on(host, f"ls {kind.path} || true").strip():
                continue
            text, authority, key = (base64.b64decode(line).decode() for line in lab.on(host, script).split())
            new = base64.b64encode(aged(text, authority, key, begins, ends).encode()).decode()
            lab.on(host, f"echo {new} | base64 -d > {kind.path}; touch -d '1 year ago' {kind.path}")
        for pod in STATIC_PODS:  # one host after the other, and well again before the next
            lab.on(host, f"pkill -TERM -f '^{pod.name} ' || true")
        until(partial(serves, lab, host), f"the API of {host} is ready")
    until(lambda: states(lab) == {"due"}, "everywhere the aged ones are in use")


def serves(lab: Lab, host: str) -> bool:
    """Whether its own API server says that it is ready."""
    return lab.on(host, f"curl -sk https://{address_of(lab, host)}:6443/readyz || true") == "ok"


def address_of(lab: Lab, host: str) -> str:
    return str(load_datacenter(lab.dc).hosts[host].address)


@contextmanager
def polled(lab: Lab) -> Iterator[dict[str, Any]]:
    """A client polls the API through the VIP meanwhile; what it counted is there afterwards."""
    kubeconfig = lab.state / "poller.kubeconfig"
    kubeconfig.write_text((lab.state / lab.name / "kubeconfig" / lab.name).read_text())
    argv = lab.entered(sys.executable, str(Path(__file__).with_name("poller.py")), str(kubeconfig))
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    counted: dict[str, Any] = {}
    assert process.stdout is not None
    assert process.stdout.readline() == "polls\n"
    try:
        yield counted
    finally:
        said, _ = process.communicate(timeout=60)
        counted |= json.loads(said.splitlines()[-1])


def all_well(lab: Lab) -> None:
    """Certificates are new and in use, nodes Ready, nothing is left to be renewed, and nothing drifted."""
    assert states(lab) == {"ok"}
    assert seen(lab)[lab.name, "kubeconfig"]["state"] == "ok"
    lab.bmk("certs renew", "--plan")
    assert all(ready(node) for node in lab.nodes().values())
    assert {s["state"] for s in lab.drift(None).values()} == {"clean"}


def test_a_new_data_center_has_nothing_to_renew(lab: Lab) -> None:
    """Every certificate is there, in use and in time: hosts, kubelets, BMCs, registry, kubeconfig."""
    found = seen(lab)
    assert {part["state"] for part in found.values()} == {"ok"}
    assert {kind for _, kind in found} >= {"bmc", "registry", "kubeconfig", "kubelet-server", "etcd-peer", "ca"}
    lab.bmk("certs")
    lab.bmk("certs renew", "--plan")


def test_all_is_renewed_under_a_clients_load(lab: Lab, record_property: Any) -> None:
    """The plan says so (2), the run does it, one static pod at a time; the client's errors are counted."""
    age(lab)
    lab.bmk("certs", code=2)
    assert "start kube-apiserver again" in lab.bmk("certs renew", "--plan", code=2)
    began = lab.journal.last_seq()
    with polled(lab) as counted:
        started = time.monotonic()
        lab.bmk("certs renew", "--yes")
        seconds = time.monotonic() - started
    sys.stdout.write(f"renewed in {seconds:.0f} s; the client counted {counted}\n")
    record_property("client", counted)
    all_well(lab)
    away: list[tuple[str, str]] = []
    for event in lab.journal.since(began):
        if not event.data.get("program"):  # nothing is started again: what ends within the hour, everywhere at once
            continue
        if event.kind == "certificates.renewing":
            away.append((str(event.host), str(event.data["program"])))
            assert len(away) == 1, away
        elif event.kind == "certificates.renewed":
            away.remove((str(event.host), str(event.data["program"])))
    assert counted["requests"] > 100
    assert counted["longest"] < OUTAGE, counted


@pytest.mark.parametrize("seed", [SEED])  # in the name of the test: BMK_KILLS_SEED repeats it
def test_killed_at_twenty_points_it_is_finished(lab: Lab, seed: int, record_property: Any) -> None:
    """kill -9 of the command at random moments: the same command goes on, and no control plane was ever missed."""
    age(lab)
    chance = random.Random(seed)
    with polled(lab) as counted:
        lab.killed(chance, (1, 25), KILLS, "certs renew", "--yes")
    sys.stdout.write(f"seed {seed}: the client counted {counted}\n")
    record_property("client", counted)
    all_well(lab)
    assert counted["longest"] < OUTAGE, counted
