"""Load and plan of a generated data center against PyYAML's C loader on the same bytes, side by side in one run.

    python bench/load.py [--hosts 1000 10000] [--rounds 3]

Seconds are CPU seconds of a fresh process each, the least of the rounds; MB is the peak resident size of that process.
Half of the hosts reserve an address, half have one in addresses.yml; all but three are workers of one cluster.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
    from bmk.datacenter.allocate import write_addresses

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
    assert len(build_plan(dc, "provision", PROVISION.phases, dc.hosts, {}).hosts) == len(dc.hosts)


def empty(_: Path) -> None:
    """What starting Python with the libraries costs, to be seen beside the rest."""
    import yaml

    import bmk.datacenter.load

    assert yaml.__with_libyaml__, "the baseline is the C loader"
    assert bmk.datacenter.load.__file__


SUBJECTS = {"libraries only": empty, "YAML C loader": c_loader, "bmk load": load, "bmk load and plan": load_and_plan}


def measure(subject: str, directory: Path) -> None:
    """In a process of its own: do it once, print CPU seconds and peak MB as JSON."""
    start = time.process_time()
    SUBJECTS[subject](directory)
    seconds = time.process_time() - start
    print(json.dumps([seconds, peak()]))


def peak() -> float:
    """Peak MB of this process. Not getrusage's figure: that one starts from what the parent had at the fork."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def measured(subject: str, directory: Path) -> tuple[float, float]:
    command = [sys.executable, __file__, "--measure", subject, str(directory)]
    seconds, megabytes = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    return seconds, megabytes


def table(sizes: list[int], rounds: int) -> None:
    """One line per size and subject; the ratio is to the C loader on the same bytes."""
    print(f"{'hosts':>7} {'MB of YAML':>10}  {'subject':<18} {'CPU s':>7} {'peak MB':>8} {'ratio':>6}")
    for hosts in sizes:
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            generate(directory, hosts)
            size = sum(f.stat().st_size for f in directory.iterdir()) / 1e6
            turns = [(subject, measured(subject, directory)) for _ in range(rounds) for subject in SUBJECTS]
            runs = {subject: [result for s, result in turns if s == subject] for subject in SUBJECTS}
            base = min(seconds for seconds, _ in runs["YAML C loader"])
            for subject, results in runs.items():
                seconds, peak = min(s for s, _ in results), max(m for _, m in results)
                print(f"{hosts:>7} {size:>10.2f}  {subject:<18} {seconds:>7.2f} {peak:>8.0f} {seconds / base:>6.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure[0], Path(arguments.measure[1]))
    else:
        table(arguments.hosts, arguments.rounds)


if __name__ == "__main__":
    main()
