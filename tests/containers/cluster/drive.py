"""Runs inside the lab's network: drive.py FILE begin|converge|smoke JSON. Prints one line of JSON.

begin {host}                                   make the cluster there, as the phase does; the host's result
converge {playbook, hosts, variables, check}   the adapter's results, events and the directory of the run
smoke {}                                       approve certificates, then the rows of the smoke test
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from bmk.ansible.manifest import desired_digest
from bmk.ansible.runner import ConvergeRequest, converge
from bmk.artifacts.mirror import open_mirror
from bmk.boot.server import registry_certificate
from bmk.cluster import csr, smoke
from bmk.cluster.anonymous import live_control_planes
from bmk.cluster.api import Api
from bmk.datacenter.credentials import vip_keys
from bmk.datacenter.inventory import ansible_inventory
from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import DataCenter
from bmk.datacenter.state import open_journal
from bmk.engine.services import Converge
from bmk.journal import Event
from bmk.lab.host.netns import ensure_inside
from bmk.live.services import LiveServices
from bmk.phases.csr_approval import Watcher


def run_playbook(dc: DataCenter, asked: dict[str, Any]) -> dict[str, Any]:
    """Converge some hosts."""
    artifacts, images = open_mirror().as_vars(dc.spec.deployer)
    mine = {"certificate": registry_certificate(dc, dc.state), "vip_keys": vip_keys(dc, dc.state)}
    inventory = ansible_inventory(dc, {"bmk_artifacts": artifacts, "bmk_images": images, **mine}, {})
    events: list[Event] = []
    request = ConvergeRequest(
        asked["playbook"],
        tuple(asked["hosts"]),
        inventory,
        dc.state / "runs",
        asked.get("variables", {}),
        check=asked.get("check", False),
    )
    with approver(dc):
        results = asyncio.run(converge(request, events.append))
    return {
        "results": {host: asdict(result) for host, result in results.items()},
        "events": [{"host": e.host, "kind": e.kind, "text": e.text, "data": dict(e.data)} for e in events],
        "wanted": {host: desired_digest(inventory, host) for host in results},
    }


@contextmanager
def approver(dc: DataCenter) -> Iterator[None]:
    """What runs on a boot server all the time."""
    world, stop = LiveServices(dc, open_journal(dc), {}, dc.state / "runs"), threading.Event()
    watcher = Watcher({"roles": world.cluster("roles")}, lambda event: None, 1.0)
    thread = threading.Thread(target=watcher.watch, args=(stop, time.monotonic), daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join(60)


def begin(dc: DataCenter, asked: dict[str, Any]) -> dict[str, Any]:
    """Make the cluster, with what the phase does around the playbook."""
    world = LiveServices(dc, open_journal(dc), {}, dc.state / "runs")
    request = Converge("joined", "init.yml", (asked["host"],), {})
    done = asyncio.run(world.converge(request, lambda event: None))[asked["host"]]
    return {"ok": done.ok, "changed": done.changed, "failed_task": done.failed_task, "message": done.message}


def prove(dc: DataCenter, _: dict[str, Any]) -> dict[str, Any]:
    """Approve, then prove with pods."""
    members = dc.members("roles")
    live = live_control_planes({h.name: str(h.address) for h in members if h.role == "control_plane"})
    with Api(dc.state / "kubeconfig" / "roles") as api:
        there = list(api.nodes.readiness())
        csr.approve(api.approvals, api.nodes.readiness, {h.name: str(h.address) for h in members})
        deployer = str(dc.spec.deployer.address)
        proof = smoke.Proof(there, f"{deployer}:5000/smoke:1", deployer, f"http://{deployer}/healthz")
        rows = smoke.run(api, proof)
    return {"live": live, "rows": [asdict(row) for row in rows]}


if __name__ == "__main__":
    data_center = load_datacenter(sys.argv[1])
    ensure_inside(data_center)
    what = {"begin": begin, "converge": run_playbook, "smoke": prove}[sys.argv[2]]
    sys.stdout.write(json.dumps(what(data_center, json.loads(sys.argv[3]))) + "\n")
