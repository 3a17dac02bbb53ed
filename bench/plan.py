"""What `bmk plan` and `bmk validate` cost against another checkout of bmk, in turns in one run.

    sudo python bench/plan.py --before ../older [--hosts 200] [--rounds 5]

Each checkout has a lab of simulated hosts of its own, all powered off, and plans it again and again: files are read and
checked, every BMC is asked over HTTPS, nothing is changed. CPU seconds of the command, the median of the rounds: they
stay comparable when other work shares the machine, and so does their ratio.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAD = """\
apiVersion: bmk.dev/v1
kind: DataCenter
metadata: {{name: {name}}}
spec:
  deployer: {{address: 10.{net}.0.1}}
  networks:
    nodes: {{cidr: 10.{net}.0.0/16, gateway: 10.{net}.0.1, dhcp: {{pool: 10.{net}.240.0/24}}}}
    bmc: {{cidr: 10.{bmc}.0.0/16}}
  profiles:
    sim: {{bmc: {{kind: redfish, secret: bmc/sim}}, lab: {{kind: simulated}}}}
  racks:
    r1:
      hosts:
"""
HOST = (
    "        - {{name: s-{n:05}, profile: sim, serial: SIM{n:05}, disk: {{serial: SD{n:05}}},\n"
    "           nics: [{{mac: '52:54:{net:02x}:00:{high:02x}:{low:02x}'}}], address: 10.{net}.{high}.{low},\n"
    "           bmc: {{address: 10.{bmc}.{high}.{low}}}}}\n"
)


class Checkout:
    """One version of bmk with a lab."""

    def __init__(self, root: Path, room: Path, net: int) -> None:
        self.file = room / "dc" / "dc.yml"
        self._env = {**os.environ, "BMK_STATE_DIR": str(room / "state")}
        self._bmk = str(root / ".venv" / "bin" / "bmk")
        self._net = net

    @contextmanager
    def lab(self, hosts: int) -> Iterator[None]:
        net = {"net": self._net, "bmc": self._net + 1}
        lines = [HOST.format(n=n, high=n // 200 + 1, low=n % 200 + 1, **net) for n in range(hosts)]
        self.file.parent.mkdir(parents=True)
        self.file.write_text(HEAD.format(name=f"plan-{self._net}", **net) + "".join(lines))
        self.run("lab", "up", codes=(0,))
        try:
            self.run("plan", codes=(0, 2))  # makes keys and whatever else only the first one makes
            yield
        finally:
            self.run("lab", "down", codes=(0,))

    def run(self, *words: str, codes: tuple[int, ...]) -> float:
        """CPU seconds of one command."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [self._bmk, *words, str(self.file)], env=self._env, capture_output=True, text=True, check=False
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode not in codes:
            raise SystemExit(f"{self._bmk} {' '.join(words)}: exit {done.returncode}\n{done.stderr[-2000:]}")
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="another checkout of bmk, with its own .venv")
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bmk-plan-") as place, ExitStack() as labs:
        pair = [
            Checkout(options.before.resolve(), Path(place) / "before", 80),
            Checkout(ROOT, Path(place) / "now", 82),
        ]
        for checkout in pair:
            labs.enter_context(checkout.lab(options.hosts))
        print(f"{options.hosts} hosts, CPU seconds, median of {options.rounds}: before, now, ratio")
        for words, codes in ((("validate",), (0,)), (("plan",), (0, 2))):
            rounds = [[one.run(*words, codes=codes) for one in pair] for _ in range(options.rounds)]
            before, now = (statistics.median(column) for column in zip(*rounds, strict=True))
            print(f"bmk {' '.join(words):10} {before:8.2f} {now:8.2f} {now / before:7.2f}", flush=True)


if __name__ == "__main__":
    main()
