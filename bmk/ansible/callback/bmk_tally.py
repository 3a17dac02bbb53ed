"""Ansible's usual output, and molecule's judge of what may change when.

Counts seconds, calls of modules and changes of each step into `steps.jsonl` of the scenario; a second converge and a
check of a converged host must change nothing but what molecule/waivers.yml allows for a reason, and a waiver that
nothing needed fails too.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.callback.default import CallbackModule as Default

from bmk.ansible.events import LOCAL_ACTIONS
from bmk.ansible.tally import STRICT, judge, step_of
from bmk.document import read_document

DOCUMENTATION = """
    name: bmk_tally
    type: stdout
    short_description: the usual output, counted and judged
    extends_documentation_fragment: [default_callback, result_format_callback]
"""


class CallbackModule(Default):  # type: ignore[misc]
    """One for each run of ansible-playbook."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "bmk_tally"

    def __init__(self) -> None:
        super().__init__()
        self._began, self._calls, self._step = time.monotonic(), 0, ""
        self._changed: list[str] = []

    def v2_playbook_on_start(self, playbook: Any) -> None:
        super().v2_playbook_on_start(playbook)
        check = bool(context.CLIARGS.get("check"))
        self._step = step_of(playbook._file_name, check, _converged())

    def v2_runner_on_ok(self, result: Any) -> None:
        super().v2_runner_on_ok(result)
        self._count(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        super().v2_runner_on_failed(result, ignore_errors)
        self._count(result)

    def _count(self, result: Any) -> None:
        said, task = result._result, result._task
        action = str(task.resolved_action or task.action).rpartition(".")[2]
        self._calls += action not in LOCAL_ACTIONS and not said.get("bmk_known") and task.delegate_to != "localhost"
        if said.get("changed"):
            items = [str(i.get("id")) for i in said.get("items") or () if isinstance(i, dict) and i.get("changed")]
            self._changed.append(f"{result._host.name}: {task.get_name()} {' '.join(items)}".strip())

    def v2_playbook_on_stats(self, stats: Any) -> None:
        waived = _waived(self._step)
        if self._step in STRICT:
            for line in [line for line in self._changed if any(w in line for w in waived)]:
                stats.changed[line.partition(":")[0]] -= 1  # molecule's own idempotence reads this line
        super().v2_playbook_on_stats(stats)
        self._write(stats)
        faults = judge(self._changed, waived) if self._step in STRICT else []
        for fault in faults:
            self._display.display(f"{self._step}: {fault}", color="red")
        if faults and self._step == "check again":
            sys.stdout.flush()
            sys.exit(2)  # an exception would be swallowed

    def _write(self, stats: Any) -> None:
        seconds = round(time.monotonic() - self._began, 1)
        self._display.display(f"{self._step}: {seconds:g} s, {self._calls} module calls, {len(self._changed)} changes")
        if directory := os.environ.get("MOLECULE_EPHEMERAL_DIRECTORY"):
            line = {"scenario": os.environ.get("MOLECULE_SCENARIO_NAME"), "step": self._step, "seconds": seconds}
            line |= {"calls": self._calls, "changed": len(self._changed), "failed": bool(stats.failures or stats.dark)}
            with (Path(directory) / "steps.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")


def _converged() -> bool:
    state = Path(os.environ.get("MOLECULE_STATE_FILE", "/nonexistent"))
    return state.is_file() and _yaml(state).get("converged") == "true"  # our reader leaves words as they are


def _waived(step: str) -> list[str]:
    path = Path(os.environ.get("BMK_MOLECULE_WAIVERS", "/nonexistent"))
    found = _yaml(path).get("waivers") or [] if path.is_file() else []
    scenario = os.environ.get("MOLECULE_SCENARIO_NAME")
    return [w["task"] for w in found if w["scenario"] == scenario and w["step"] == step and w["reason"]]


def _yaml(path: Path) -> dict[str, Any]:
    return dict(read_document(path).value or {})
