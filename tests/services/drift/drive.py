"""Runs inside the hosts' network and prints one line of JSON.

drive.py FILE sign|pin|check|run|evidence|kubeconfig JSON
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bmk.ansible.manifest import with_digests
from bmk.ansible.runner import ConvergeRequest, converge
from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import DataCenter
from bmk.datacenter.state import open_journal
from bmk.drift.collector import CollectLimits
from bmk.errors import BmkError, Unreachable
from bmk.hardening.evidence import NodeEvidence
from bmk.live.drift_service import Asked, sign_baselines
from bmk.live.hardening_service import node_evidence
from bmk.live.services import LiveServices
from bmk.ssh import run


def sign_all(dc: DataCenter, _: dict[str, Any]) -> dict[str, str]:
    """Pin the keys of all hosts and sign a baseline of each."""
    journal = open_journal(dc)
    known = dc.source.parent / "keys.json"
    for name, keys in json.loads(known.read_text()).items() if known.exists() else ():
        if name in dc.hosts:
            journal.record(name, "host_keys", keys)
            journal.record(name, "converged", {"digest": "d", "at": time.time()})
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    done = sign_baselines(dc, journal, [Asked(name, "d") for name in dc.hosts])
    return {name: str(answer) for name, answer in done.items()}


def pin(dc: DataCenter, asked: dict[str, Any]) -> bool:
    """Record other host keys."""
    journal = open_journal(dc)
    for name, keys in asked["keys"].items():
        journal.record(name, "host_keys", keys)
    return True


def check(dc: DataCenter, _: dict[str, Any]) -> dict[str, Any]:
    """What Ansible says of all hosts in check mode, comparing every list: seconds, and per host what went wrong."""
    with tempfile.TemporaryDirectory() as directory:
        world = LiveServices(dc, open_journal(dc), {}, Path(directory))
        everyone = tuple(dc.hosts)
        request = ConvergeRequest(
            "configure.yml", everyone, with_digests(world.inventory), Path(directory),
            {"bmk_distrust": everyone}, check=True,
        )  # fmt: skip
        began = time.monotonic()
        results = asyncio.run(converge(request, lambda _: None))
        seconds = time.monotonic() - began
    return {
        "seconds": seconds,
        "bad": {n: f"{r.failed_task}: {r.message} {r.tail}" for n, r in results.items() if not r.ok},
    }


def run_there(dc: DataCenter, asked: dict[str, Any]) -> dict[str, str]:
    """One command on each of these hosts, within seconds: what went wrong, or that it ended."""
    with tempfile.TemporaryDirectory() as directory:
        world = LiveServices(dc, open_journal(dc), {}, Path(directory))
        return {name: _run(world, dc, name, asked["seconds"]) for name in asked["hosts"]}


def _run(world: LiveServices, dc: DataCenter, name: str, seconds: float) -> str:
    try:
        return f"ended with {run(world.target(dc.hosts[name]), ['true'], timeout=seconds).code}"
    except Unreachable as error:
        return error.what


def evidence(dc: DataCenter, asked: dict[str, Any]) -> dict[str, str]:
    """What the hardening report has of each of these hosts: evidence, or why there is none."""
    limits = CollectLimits(seconds=asked["seconds"])
    hosts = [dc.hosts[name] for name in asked["hosts"]]
    seen = asyncio.run(node_evidence(dc, open_journal(dc), hosts, limits))
    return {
        one.name: "evidence of its kernel" if isinstance(one, NodeEvidence) and one.raw["facts"]["kernel"] else one.why
        for one in seen
    }


def fetch(dc: DataCenter, asked: dict[str, Any]) -> str:
    """The administrator's kubeconfig as it is kept, fetched from this host; or why there is none."""
    with tempfile.TemporaryDirectory() as directory:
        world = LiveServices(dc, open_journal(dc), {}, Path(directory))
        try:
            world.fetch_kubeconfig(dc.hosts[asked["host"]])
        except BmkError as error:
            return error.what
        return world.kubeconfig("c").read_text()


if __name__ == "__main__":
    data_center = load_datacenter(sys.argv[1], versions={"1.37.2"})
    sys.stdout.write(
        json.dumps(
            {"sign": sign_all, "evidence": evidence, "pin": pin, "check": check, "run": run_there, "kubeconfig": fetch}[
                sys.argv[2]
            ](data_center, json.loads(sys.argv[3]))
        )
        + "\n"
    )
