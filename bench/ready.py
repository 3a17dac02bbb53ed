"""From powered off to Ready, phase by phase, against its floors, read from the journal of a finished `bmk provision`.

    python bench/ready.py [DC]                        default: lab

A floor is what the machine and the programs of others took in that very run, whatever asked them to: the firmware from
power on to its question, the kernel and its ramdisk from the answer to the claim, the bytes of the image through fetch,
decompression and disk (without the read-back), and the tasks that run kubeadm. The boot from disk has no mark of its
own: its floor is the firmware and kernel of the boot before. What has no floor is wholly ours.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bmk.datacenter.state import existing_journal
from bmk.journal import Event

WAY = (
    "registered",
    "powered",
    "booting",
    "imaging",
    "installed",
    "reachable",
    "configured",
    "joined",
    "admission_policies",
)
WAY += ("verified", "baseline", "ready")
KUBEADM = ("Make the cluster", "Join with the ticket")


@dataclass(frozen=True)
class Row:
    """One phase of one host: seconds, and those of its floor."""

    phase: str
    seconds: float
    floor: float = 0.0


def rows(events: Sequence[Event]) -> list[Row]:
    """The phases that a host has finished, newest run of each."""
    took = {e.phase: float(e.data["seconds"]) for e in events if e.kind == "phase.finished"}
    boot = _between(events, "host.booted", "boot.asked") + _between(events, "boot.answered", "agent.claimed")
    floors = {
        "booting": boot,
        "imaging": sum(float(e.data["seconds"].get("write", 0)) for e in _last(events, "agent.done")),
        "reachable": boot,
        "joined": sum(float(e.data.get("seconds", 0)) for e in events if e.phase == "joined" and e.text in KUBEADM),
    }
    return [Row(phase, took[phase], min(floors.get(phase, 0.0), took[phase])) for phase in WAY if phase in took]


def _last(events: Iterable[Event], kind: str) -> list[Event]:
    return [e for e in events if e.kind == kind][-1:]


def _between(events: Sequence[Event], first: str, then: str) -> float:
    ends = [_last(events, kind) for kind in (first, then)]
    return ends[1][0].at - ends[0][0].at if all(ends) else 0.0


def show(host: str, found: Sequence[Row]) -> None:
    """One table."""
    print(f"\n| {host} | seconds | floor | ratio |\n| --- | --- | --- | --- |")
    total = Row("all", sum(r.seconds for r in found), sum(r.floor for r in found))
    for row in (*found, total):
        ratio = f"{row.seconds / row.floor:.2f}" if row.floor else ""
        print(f"| {row.phase} | {row.seconds:.1f} | {f'{row.floor:.1f}' if row.floor else ''} | {ratio} |")


def main() -> None:
    """Print a table for every host that the journal knows."""
    dc = sys.argv[1] if len(sys.argv) > 1 else "lab"
    journal = existing_journal(dc)
    if journal is None:
        raise SystemExit(f"{dc} has no journal: run bmk provision {dc} first")
    for host in sorted({e.host for e in journal.since(kind="phase.finished") if e.host}):
        show(host, rows(journal.since(host=host)))


if __name__ == "__main__":
    main()
