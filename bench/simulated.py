"""Simulated hosts from powered off to reachable, with the real command: seconds, memory, and growth with their number.

    sudo python bench/simulated.py [COUNT ...]        default: 100 1000

Each host has a BMC that is asked over HTTPS, asks the boot service, claims its grant, reports, and answers ssh with the
key that it reported. The table's ratios compare the largest run with the smallest. CPU seconds are of the command and
of the whole lab (BMCs, machines, boot service): what stays comparable when other work shares the machine.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmk.lab.client import request

HEAD = """\
apiVersion: bmk.dev/v1
kind: DataCenter
metadata: {name: simulated}
spec:
  deployer: {address: 10.70.0.1}
  networks:
    nodes: {cidr: 10.70.0.0/16, gateway: 10.70.0.1, dhcp: {pool: 10.70.240.0/24}}
    bmc: {cidr: 10.71.0.0/16}
  profiles:
    sim:
      bmc: {kind: redfish, secret: bmc/simulated}
      lab: {kind: simulated}
  racks:
    r1:
      hosts:
"""


@dataclass
class Result:
    """One run. `phases`: median seconds a host spent in each; memory in MiB; CPU seconds."""

    count: int
    seconds: float
    done: int
    phases: dict[str, float]
    bmk_mib: float
    lab_mib: float
    bmk_cpu: float
    lab_cpu: float


def datacenter(count: int) -> str:
    lines = []
    for number in range(count):
        high, low = divmod(number, 200)
        lines.append(
            f"        - {{name: s-{number:05}, profile: sim, serial: SIM{number:05}, "
            f'nics: [{{mac: "52:54:01:00:{high:02x}:{low:02x}"}}], address: 10.70.{high + 1}.{low + 1}, '
            f"bmc: {{address: 10.71.{high + 1}.{low + 1}}}, disk: {{serial: SD{number:05}}}}}\n"
        )
    return HEAD + "".join(lines)


def measure(count: int) -> Result:
    with tempfile.TemporaryDirectory(prefix="bmk-bench-") as directory:
        file = Path(directory) / "dc" / "dc.yml"  # alone: the boot service watches what lies beside it
        file.parent.mkdir()
        file.write_text(datacenter(count))
        os.environ["BMK_STATE_DIR"] = f"{directory}/state"
        bmk = [sys.executable, "-m", "bmk"]
        subprocess.run([*bmk, "lab", "up", str(file)], check=True, stderr=subprocess.DEVNULL)
        try:
            return _provision(bmk, file, count)
        finally:
            subprocess.run([*bmk, "lab", "down", str(file)], check=True, stderr=subprocess.DEVNULL)


def _provision(bmk: list[str], file: Path, count: int) -> Result:
    events = file.with_name("events.jsonl")
    before, cpu, lab = time.monotonic(), _cpu(), _lab_cpu()
    with file.with_name("log").open("w") as log:
        command = [*bmk, "provision", str(file), "--yes", "--events", str(events)]
        subprocess.run(command, check=False, stderr=log, stdout=log)
    seconds = time.monotonic() - before
    told = [line for line in map(json.loads, events.read_text().splitlines()) if "kind" in line]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return Result(count, seconds, _reached(told), _phases(told), peak, _lab_memory(), _cpu() - cpu, _lab_cpu() - lab)


def _cpu() -> float:
    """CPU seconds of the commands that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _reached(told: list[dict[str, Any]]) -> int:
    return sum(e["kind"] == "phase.finished" and e.get("phase") == "reachable" for e in told)


def _phases(told: list[dict[str, Any]]) -> dict[str, float]:
    spent: dict[str, list[float]] = defaultdict(list)
    for event in told:
        if event["kind"] == "phase.finished":
            spent[event["phase"]].append(float(event["data"]["seconds"]))
    return {phase: sorted(values)[len(values) // 2] for phase, values in spent.items()}


def _lab() -> Iterator[Path]:
    """Every process of the lab, as its directory below /proc: each has the lab's PID namespace."""
    request("simulated", "status")
    pid = json.loads((Path(os.environ["BMK_STATE_DIR"]) / "simulated/lab/supervisor.json").read_text())["pid"]
    ours = Path(f"/proc/{pid}/ns/pid").readlink()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "ns/pid").readlink() == ours:
                yield process


def _lab_memory() -> float:
    """Proportional memory of the lab, in MiB."""
    total = 0
    for process in _lab():
        with suppress(OSError, StopIteration):
            rows = (process / "smaps_rollup").read_text().splitlines()
            total += next(int(row.split()[1]) for row in rows if row.startswith("Pss:"))
    return total / 1024


def _lab_cpu() -> float:
    """CPU seconds of the lab's processes and of those that they have waited for."""
    ticks = 0
    for process in _lab():
        with suppress(OSError):
            ticks += sum(map(int, (process / "stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def show(results: list[Result]) -> None:
    first, last = results[0], results[-1]
    print(
        f"{'hosts':>8}{'reached':>9}{'seconds':>9}{'CPU bmk':>9}{'CPU lab':>9}{'bmk MiB':>9}{'lab MiB':>9}"
        f"  median seconds by phase (load {os.getloadavg()[0]:.0f})"
    )
    for r in results:
        phases = ", ".join(f"{name} {value:.1f}" for name, value in r.phases.items())
        cpu = f"{r.bmk_cpu:>9.1f}{r.lab_cpu:>9.1f}"
        print(f"{r.count:>8}{r.done:>9}{r.seconds:>9.1f}{cpu}{r.bmk_mib:>9.0f}{r.lab_mib:>9.0f}  {phases}")
    if last is not first:
        more, slower = last.count / first.count, last.seconds / first.seconds
        memory, work = last.bmk_mib / first.bmk_mib, (last.bmk_cpu + last.lab_cpu) / (first.bmk_cpu + first.lab_cpu)
        print(
            f"{more:.0f} times the hosts: {slower:.1f} times the seconds, {work:.1f} times the CPU, "
            f"{memory:.1f} times the memory of bmk"
        )


if __name__ == "__main__":
    show([measure(count) for count in map(int, sys.argv[1:] or ("100", "1000"))])
