"""What molecule's steps may change, and the report of them. Pure; used by the callback plug-in bmk_tally.

`python -m bmk.ansible.tally < STEPS` is the table of steps from many scenarios, as the plug-in wrote them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

STRICT = ("idempotence", "check again")  # steps in which a change is a fault
_COLUMNS = ("scenario", "step", "seconds", "calls", "changed")


def step_of(playbook: str, check: bool, converged: bool) -> str:
    """Name of molecule's step. Pure."""
    name = Path(playbook).stem
    if name != "converge":
        return name.replace("_", " ")
    return {(True, True): "check again", (True, False): "check", (False, True): "idempotence"}.get(
        (check, converged), "converge"
    )


def is_strict(step: str, allowed: Sequence[str]) -> bool:
    """Whether each change has to be allowed: a scenario that names changes of its converge expects no others. Pure."""
    return step in STRICT or (step == "converge" and bool(allowed))


def violations(changed: list[str], allowed: list[str]) -> list[str]:
    """What is wrong with a step that may change nothing but `allowed` tasks. Pure."""
    faults = [f"{task} changed something" for task in changed if not any(w in task for w in allowed)]
    return faults + [f"the waiver of {w!r} is not needed" for w in allowed if not any(w in task for task in changed)]


def failure(host: str, task: str, said: Mapping[str, Any]) -> str:
    """One line for a task that failed: host, task, reason; of a command its own error, not its exit code. Pure."""
    errors = [line for line in str(said.get("stderr") or "").splitlines() if line.strip()]
    named = [line for line in errors if line.startswith("error")]
    msg = str(said.get("msg") or "no message").strip().splitlines()[0]
    return f"{host}: {task}: {(named or errors)[-1].strip() if errors else msg}"


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Steps with seconds, calls of modules and changes, one line each, and their sum. Pure."""
    total = {key: sum(row[key] for row in rows) for key in _COLUMNS[2:]}
    cells = [[str(row[key]) for key in _COLUMNS] + (["failed"] if row.get("failed") else []) for row in rows]
    summed = ["", "all", *(f"{total[key]:g}" for key in _COLUMNS[2:])]
    return [_line(line) for line in (["scenario", "step", "seconds", "module calls", "changes"], *cells, summed)]


def _line(cells: Sequence[str]) -> str:
    return f"{cells[0]:<18} {cells[1]:<12} {cells[2]:>8} {cells[3]:>13} {cells[4]:>8}  {''.join(cells[5:])}".rstrip()


if __name__ == "__main__":
    sys.stdout.write("\n".join(table([json.loads(line) for line in sys.stdin])) + "\n")
