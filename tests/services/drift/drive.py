"""Runs inside the hosts' network: drive.py FILE seal JSON. Prints one line of JSON."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import DataCenter
from bmk.journal import open_journal
from bmk.phases.drifting import Asked, seal


def seal_all(dc: DataCenter, _: dict[str, Any]) -> dict[str, str]:
    """Pin the keys of all hosts and seal what they are."""
    journal = open_journal(dc.name)
    for name, keys in json.loads((dc.source.parent / "keys.json").read_text()).items():
        if name in dc.hosts:
            journal.record(name, "host_keys", keys)
            journal.record(name, "converged", {"digest": "d", "at": time.time()})
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    done = seal(dc, journal, [Asked(name, "d") for name in dc.hosts])
    return {name: str(answer) for name, answer in done.items()}


def pin(dc: DataCenter, asked: dict[str, Any]) -> bool:
    """Record other host keys."""
    journal = open_journal(dc.name)
    for name, keys in asked["keys"].items():
        journal.record(name, "host_keys", keys)
    return True


if __name__ == "__main__":
    data_center = load_datacenter(sys.argv[1], versions={"1.37.2"})
    sys.stdout.write(
        json.dumps({"seal": seal_all, "pin": pin}[sys.argv[2]](data_center, json.loads(sys.argv[3]))) + "\n"
    )
