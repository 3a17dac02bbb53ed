"""What tests of faults ask of a data center with two hosts: `good`, and `bad`, which meets what goes wrong."""

from __future__ import annotations

import json

from tests.lab import Lab


def break_(lab: Lab, *arguments: str) -> None:
    lab.bmk("lab break", *arguments, seconds=120)


def untouched(lab: Lab, host: str = "bad") -> None:
    """No image was written and no grant was spent."""
    journal = lab.journal
    assert journal.since(host=host, kind="image.written") == []
    assert journal.query("SELECT id FROM grants WHERE host = ? AND outcome = 'spent'", (host,)) == []
    assert "installed" not in journal.facts(host)
    journal.close()


def done(lab: Lab, host: str) -> bool:
    return "ready" in lab.journal.facts(host)


def cause(lab: Lab, host: str = "bad") -> dict[str, str]:
    """What `bmk why` says of it, as one dictionary."""
    story = json.loads(lab.bmk("why", host, "-o", "json", seconds=60))
    assert story["cause"]["what"]
    assert story["cause"]["next"]
    return {**story["cause"], "state": story["state"], "phase": story["phase"]}


def power(lab: Lab, host: str = "bad") -> str:
    listed = json.loads(lab.bmk("lab status", "-o", "json", seconds=60))
    machines = listed["machines"] if isinstance(listed, dict) else listed
    return str(next(m["power"] for m in machines if m["name"] == host))
