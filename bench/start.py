"""How fast bmk starts: `bmk --help` and shell completion against `python -c "import click"`, side by side in one run.

    python bench/start.py [--rounds 20]

Milliseconds of wall clock, the median of the rounds, taken in turns so that a busy moment hits all subjects alike.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

BMK = str(Path(sys.executable).with_name("bmk"))
TYPED = {"_BMK_COMPLETE": "bash_complete", "COMP_WORDS": "bmk inventory example --host ", "COMP_CWORD": "4"}
SUBJECTS: dict[str, tuple[list[str], dict[str, str]]] = {
    "python -c pass": ([sys.executable, "-c", "pass"], {}),
    "python -c 'import click'": ([sys.executable, "-c", "import click"], {}),
    "bmk --help": ([BMK, "--help"], {}),
    "completion of hosts": ([BMK], TYPED),
}


def milliseconds(command: list[str], environment: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, check=False)
    return (time.perf_counter() - start) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    turns = [(name, milliseconds(*subject)) for _ in range(rounds) for name, subject in SUBJECTS.items()]
    medians = {name: statistics.median(ms for n, ms in turns if n == name) for name in SUBJECTS}
    base = medians["python -c 'import click'"]
    print(f"{'subject':<26} {'ms':>6} {'ratio':>6}")
    for name, median in medians.items():
        print(f"{name:<26} {median:>6.0f} {median / base:>6.2f}")


if __name__ == "__main__":
    main()
