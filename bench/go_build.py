"""What Go's compiler costs with the settings of `bmk artifacts build` against Go's own.

    python bench/go_build.py [--times 2]

CPU seconds (user) of a few packages of the standard library, one compiler at a time, from an empty cache, in turns.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import tempfile

from bmk.artifacts.gomodules import go_environment
from bmk.artifacts.lock import load_lock

PACKAGES = ("net/http", "go/types", "encoding/json")
OURS = ("GOGC", "GOMEMLIMIT")


def cpu(environment: dict[str, str]) -> float:
    """CPU seconds of one build from nothing."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    with tempfile.TemporaryDirectory(prefix="bmk-bench-") as cache:
        command = ["go", "build", "-p", "1", *PACKAGES]
        subprocess.run(command, cwd=cache, env={**environment, "GOCACHE": cache, "GOFLAGS": ""}, check=True)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=2)
    for name in OURS:
        os.environ.pop(name, None)
    lock = load_lock()
    ours = go_environment(lock.products["kubernetes"], lock.go)
    plain = {name: value for name, value in ours.items() if name not in OURS}
    for _ in range(parser.parse_args().times):
        theirs, with_ours = cpu(plain), cpu(ours)
        print(f"Go's own {theirs:.1f} s, ours {with_ours:.1f} s: {with_ours / theirs:.2f}x")


if __name__ == "__main__":
    main()
