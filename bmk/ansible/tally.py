"""What molecule's steps may change. Pure; the callback plug-in bmk_tally asks it."""

from __future__ import annotations

from pathlib import Path

STRICT = ("idempotence", "check again")  # steps in which a change is a fault


def step_of(playbook: str, check: bool, converged: bool) -> str:
    """Name of molecule's step. Pure."""
    name = Path(playbook).stem
    if name != "converge":
        return name.replace("_", " ")
    return {(True, True): "check again", (True, False): "check", (False, True): "idempotence"}.get(
        (check, converged), "converge"
    )


def judge(changed: list[str], allowed: list[str]) -> list[str]:
    """What is wrong with a step that may change nothing but `allowed` tasks. Pure."""
    faults = [f"{task} changed something" for task in changed if not any(w in task for w in allowed)]
    return faults + [f"the waiver of {w!r} is not needed" for w in allowed if not any(w in task for task in changed)]
