"""Load and plan of a generated data center against PyYAML's C loader on the same bytes, side by side in one run.

    python bench/load.py [--hosts 1000 10000] [--rounds 3] [--before ../older]

Seconds are CPU seconds of a fresh process each, the least of the rounds; MB is the peak resident size of that process;
lines are what a person would read. Half of the hosts reserve an address, half have one in addresses.yml; all but three
are workers of one cluster. `plan, new` and `plan, running` observe hosts as well, whose BMCs, ssh and API answer at
once: machines that are off and unknown, and a cluster with nothing to do but to sign its baseline. `--before`: another
checkout of bmk with its own .venv, measured in turns with this one.
"""

from __future__ import annotations

import argparse
import inspect
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

HEAD = """\
apiVersion: bmk.dev/v1
kind: DataCenter
metadata: {name: bench}
spec:
  deployer: {address: 10.0.0.2}
  networks:
    nodes: {cidr: 10.0.0.0/14, gateway: 10.0.0.1, dhcp: {pool: 10.3.0.0/16}, dns: [10.0.0.1]}
    bmc: {cidr: 10.4.0.0/14}
  profiles:
    server: {bmc: {kind: redfish, secret: bmc/bench}, disk: {size: ">=400GB"}}
  clusters:
    apps:
      kubernetes: {version: 1.37.2}
      endpoint: {vip: 10.0.0.10}
      control_plane: {hosts: [r0-00, r0-01, r0-02]}
      workers: {select: {role: worker}}
      network: {pods: 11.0.0.0/8, services: 12.0.0.0/16}
  racks:
"""


def host(i: int) -> str:
    """One host as a person writes it, in YAML's block style."""
    reserved = f"          address: 10.{1 + i // 50_000}.{i % 50_000 // 250}.{i % 250 + 1}\n" if i % 2 == 0 else ""
    return (
        f"        - name: r{i // 40}-{i % 40:02d}\n          profile: server\n          serial: SN{i:08d}\n"
        "          nics:\n"
        f'            - {{mac: "52:54:00:{i >> 16 & 255:02x}:{i >> 8 & 255:02x}:{i & 255:02x}"}}\n'
        f"{reserved}          bmc: {{address: 10.4.{i // 250}.{i % 250 + 1}}}\n"
        + ("          labels: {role: worker}\n" if i > 2 else "")
    )


def generate(directory: Path, hosts: int) -> None:
    """A data center of that many hosts, forty to a rack, with its addresses allocated."""
    from bmk.datacenter.write import write_addresses

    with (directory / "dc.yml").open("w") as file:
        file.write(HEAD)
        for i in range(hosts):
            file.write((f"    r{i // 40}:\n      hosts:\n" if i % 40 == 0 else "") + host(i))
    write_addresses(directory)


def c_loader(directory: Path) -> None:
    import yaml

    for file in ("dc.yml", "addresses.yml"):
        yaml.load((directory / file).read_bytes(), Loader=yaml.CSafeLoader)


def load(directory: Path) -> None:
    from bmk.datacenter.load import load_datacenter

    load_datacenter(directory)


def load_and_plan(directory: Path) -> None:
    from bmk.actions.provision import PROVISION
    from bmk.datacenter.load import load_datacenter
    from bmk.plan import build_plan

    dc = load_datacenter(directory)
    assert len(build_plan(dc, PROVISION, dc.hosts, {}).hosts) == len(dc.hosts)


class Services:
    """A data center that answers at once: all machines off, or all nodes Ready."""

    def __init__(self, ready: frozenset[str]) -> None:
        self._ready = ready
        self.ssh = lambda host: "ok" if host.name in ready else "silent"
        self.power, self.wanted, self.cluster = (lambda _: "off"), (lambda _: "digest"), (lambda _: self)

    def nodes(self) -> dict[str, str]:
        return dict.fromkeys(self._ready, "ready")

    def policies(self) -> str:
        return "current" if self._ready else "unknown"

    def serving(self, hosts: list[Any]) -> frozenset[str]:
        return frozenset(h.name for h in hosts)


def plan(directory: Path, *, running: bool) -> int:
    """What `bmk plan` does after it has opened the data center."""
    from bmk.actions.provision import PROVISION
    from bmk.datacenter.load import load_datacenter
    from bmk.journal import Journal
    from bmk.live.observe import observe
    from bmk.plan import build_plan
    from bmk.plan.show import lines

    dc = load_datacenter(directory)
    with tempfile.TemporaryDirectory() as state:
        journal = Journal.open(Path(state))
        if running:
            records(journal, dc.hosts)
        actuals: Any = observe(dc, journal, Services(frozenset(dc.hosts if running else ())), dc.hosts)
    planned = build_plan(dc, PROVISION, dc.hosts, actuals)
    shown: Any = lines
    more = [dc.hosts] if "hosts" in inspect.signature(lines).parameters else []
    text = "\n".join(shown(planned, *more))
    return text.count("\n") + 1


def records(journal: Any, hosts: Mapping[str, Any]) -> None:
    """What a journal holds of hosts that were installed and joined."""
    with journal.transaction():
        for host in hosts.values():
            for key, value in (
                ("identity", {"serial": host.serial}),
                ("installed", {"serial": host.serial}),
                ("host_keys", ["ssh-ed25519 A"]),
                ("joined", {"cluster": host.cluster, "at": 1.0}),
                ("ready", {"cluster": host.cluster, "at": 1.0}),
                ("converged", {"digest": "digest", "at": 1.0}),
            ):
                journal.record(host.name, key, value)


def empty(_: Path) -> None:
    """What starting Python with the libraries costs, to be seen beside the rest."""
    import yaml

    import bmk.datacenter.load

    assert yaml.__with_libyaml__, "the baseline is the C loader"
    assert bmk.datacenter.load.__file__


SUBJECTS: dict[str, Callable[[Path], int | None]] = {
    "libraries only": empty,
    "YAML C loader": c_loader,
    "bmk load": load,
    "bmk load and plan": load_and_plan,
    "plan, new": partial(plan, running=False),
    "plan, running": partial(plan, running=True),
}


def measure(subject: str, directory: Path) -> None:
    """In a process of its own: do it once, print CPU seconds, peak MB and lines as JSON."""
    start = time.process_time()
    printed = SUBJECTS[subject](directory)
    seconds = time.process_time() - start
    print(json.dumps([seconds, peak(), printed or 0]))


def peak() -> float:
    """Peak MB of this process. Not getrusage's figure: that one starts from what the parent had at the fork."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def measured(python: str, subject: str, directory: Path) -> tuple[float, float, int]:
    command = [python, __file__, "--measure", subject, str(directory)]
    seconds, megabytes, lines = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    return seconds, megabytes, lines


def table(sizes: list[int], rounds: int, pythons: dict[str, str]) -> None:
    """One line per size, subject and checkout; the ratio is to the C loader on the same bytes."""
    print(f"{'hosts':>7} {'MB of YAML':>10}  {'subject':<26} {'CPU s':>7} {'peak MB':>8} {'ratio':>6} {'lines':>7}")
    for hosts in sizes:
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            generate(directory, hosts)
            size = sum(f.stat().st_size for f in directory.iterdir()) / 1e6
            turns = [(s, which) for _ in range(rounds) for s in SUBJECTS for which in pythons]
            results = [(turn, measured(pythons[turn[1]], turn[0], directory)) for turn in turns]
            base = min(r[0] for turn, r in results if turn[0] == "YAML C loader")
            for turn in dict.fromkeys(turns):
                mine = [r for t, r in results if t == turn]
                seconds, peak, lines = min(r[0] for r in mine), max(r[1] for r in mine), mine[0][2]
                label = " ".join(filter(None, turn))
                figures = f"{seconds:>7.2f} {peak:>8.0f} {seconds / base:>6.2f} {lines or '':>7}"
                print(f"{hosts:>7} {size:>10.2f}  {label:<26} {figures}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--before", type=Path, help="another checkout of bmk, with its own .venv")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure[0], Path(arguments.measure[1]))
        return
    pythons = {"": sys.executable}
    if arguments.before:
        pythons = {"before": str(arguments.before.resolve() / ".venv/bin/python"), "now": sys.executable}
    table(arguments.hosts, arguments.rounds, pythons)


if __name__ == "__main__":
    main()
