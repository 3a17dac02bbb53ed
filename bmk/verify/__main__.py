"""python -m bmk.verify [--ssh-config FILE] [--role ROLE]... NAME=ADDRESS...: the suites on hosts of no data center.

For molecule, whose machines no dc.yml names. ADDRESS is ssh://root@ADDRESS or local://. Each ROLE must have had tests.
Exit code 0: all passed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bmk.errors import Exit
from bmk.verify.run import passed, verify


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bmk.verify", description=__doc__)
    parser.add_argument("--ssh-config", type=Path, help="settings of ssh: users, keys, ports")
    parser.add_argument("--role", action="append", default=[], help="fail unless tests of this role ran")
    parser.add_argument("--seconds", type=float, default=600.0, help="the most that one host may take")
    parser.add_argument("host", nargs="+", help="NAME=ssh://root@ADDRESS")
    given = parser.parse_args()
    hosts = dict(word.split("=", 1) for word in given.host)
    config = given.ssh_config.read_text() if given.ssh_config else ""
    results = verify(hosts, config, roles=given.role, seconds=given.seconds)
    for r in results:
        line = f"{r.where:<16} {r.outcome:<8} {r.seconds:6.2f} s  {r.suite}: {r.test}"
        sys.stdout.write(line + (f": {r.text.splitlines()[0]}" if r.text and r.outcome != "skipped" else "") + "\n")
    return Exit.OK if passed(results) else Exit.FAILED


if __name__ == "__main__":
    sys.exit(main())
