"""Ansible's usual output; with molecule also a count of each step, and a failure for a change that is not allowed.

Counts seconds, calls of modules and changes of each step into `steps.jsonl` of the scenario; a second converge and a
check of a converged host must change nothing but what molecule/waivers.yml allows for a reason, and a waiver that
nothing needed fails too. A failed step prints its task, the end of the host's journal and how to log in, before
molecule destroys the machine.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.callback.default import CallbackModule as Default

from bmk.ansible.events import LOCAL_ACTIONS
from bmk.ansible.tally import failure, is_strict, step_of, table, violations
from bmk.document import read_document

DOCUMENTATION = """
    name: bmk_tally
    type: stdout
    short_description: the usual output, counted and checked
    extends_documentation_fragment: [default_callback, result_format_callback]
"""


class CallbackModule(Default):  # type: ignore[misc]  # Ansible has no types
    """One for each run of ansible-playbook."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "bmk_tally"

    def __init__(self) -> None:
        super().__init__()
        self._began, self._calls, self._step = time.monotonic(), 0, ""
        self._changed: list[str] = []
        self._failed: list[str] = []

    def v2_playbook_on_start(self, playbook: Any) -> None:
        super().v2_playbook_on_start(playbook)
        check = bool(context.CLIARGS.get("check"))
        self._step = step_of(playbook._file_name, check, _converged())

    def v2_runner_on_ok(self, result: Any) -> None:
        self._count(result)  # before it is printed, which takes away what would be noise there
        super().v2_runner_on_ok(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._count(result)
        super().v2_runner_on_failed(result, ignore_errors)
        if not ignore_errors:
            self._record_failure(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        super().v2_runner_on_unreachable(result)
        self._record_failure(result)

    def _count(self, result: Any) -> None:
        said, task = result._result, result._task
        action = str(task.resolved_action or task.action).rpartition(".")[2]
        self._calls += action not in LOCAL_ACTIONS and not said.get("bmk_known") and task.delegate_to != "localhost"
        if said.get("changed"):
            items = [str(i.get("id")) for i in said.get("items") or () if isinstance(i, dict) and i.get("changed")]
            self._changed.append(f"{result._host.name}: {task.get_name()} {' '.join(items)}".strip())

    def _record_failure(self, result: Any) -> None:
        self._failed.append(failure(result._host.name, result._task.get_name(), result._result))

    def v2_playbook_on_stats(self, stats: Any) -> None:
        waived = _waived(self._step)
        strict = is_strict(self._step, waived)
        if self._step == "idempotence":
            for line in [line for line in self._changed if any(w in line for w in waived)]:
                stats.changed[line.partition(":")[0]] -= 1  # molecule's own idempotence reads this line
        super().v2_playbook_on_stats(stats)
        faults = violations(self._changed, waived) if strict and not self._failed else []
        red = bool(stats.failures or stats.dark or faults)
        self._write(red)
        self._report([*self._failed, *faults], red)
        if faults:
            sys.stdout.flush()
            sys.exit(2)  # an exception would be swallowed

    def _report(self, culprits: list[str], red: bool) -> None:
        """After a failed step what a person needs, and the table when molecule is done."""
        if red:
            for line in culprits:
                self._display.display(f"{self._step}: {line}", color="red")
            for line in _diagnoses({line.partition(":")[0] for line in culprits}):
                self._display.display(line)
        if red or self._step == "verify":
            for line in table(_steps()):
                self._display.display(line)

    def _write(self, red: bool) -> None:
        seconds = round(time.monotonic() - self._began, 1)
        self._display.display(f"{self._step}: {seconds:g} s, {self._calls} module calls, {len(self._changed)} changes")
        line = {"scenario": os.environ.get("MOLECULE_SCENARIO_NAME", ""), "step": self._step, "seconds": seconds}
        line |= {"calls": self._calls, "changed": len(self._changed), "failed": red}
        for path in (_place("MOLECULE_EPHEMERAL_DIRECTORY", "steps.jsonl"), _place("BMK_MOLECULE_STEPS", "")):
            if path:  # the second is of a run of many scenarios: molecule clears the first
                with path.open("a") as file:
                    file.write(json.dumps(line) + "\n")


def _place(variable: str, name: str) -> Path | None:
    """A file of the scenario; None when molecule does not run this."""
    directory = os.environ.get(variable)
    return Path(directory) / name if directory else None


def _steps() -> list[dict[str, Any]]:
    path = _place("MOLECULE_EPHEMERAL_DIRECTORY", "steps.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()] if path and path.exists() else []


def _diagnoses(hosts: set[str]) -> list[str]:
    """The end of each host's journal, and the way in. Of all machines when the culprit is not one of them."""
    config = _place("BMK_STATE_DIR", "molecule/ssh_config")
    if config is None or not config.exists():
        return []
    machines = re.findall(r"^Host (\S+) \S+$", config.read_text(), re.MULTILINE)
    found = [host for host in machines if host in hosts] or machines
    return [line for host in found for line in _diagnosis(config, host)]


def _diagnosis(config: Path, host: str) -> list[str]:
    argv = ["ssh", "-F", str(config), "-o", "ConnectTimeout=15", host, "journalctl --no-pager -q -n 25 -o short-iso"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=90, check=False)
    except subprocess.TimeoutExpired:
        return [f"{host} did not send its journal within 90 s", *_console(host)]
    if done.returncode != 0:
        return [f"{host} did not send its journal: {done.stderr.strip()[-200:]}", *_console(host)]
    scenario = os.environ.get("MOLECULE_SCENARIO_NAME")
    way = f"log in: ssh -F {config} {host}  (the machine stays with scripts/molecule {scenario})"
    return [f"the end of {host}'s journal:", *(f"  {line}" for line in done.stdout.splitlines()), way]


def _console(host: str) -> list[str]:
    """The end of its serial console, for a machine that accepts no login."""
    path = _place("BMK_STATE_DIR", f"molecule/lab/libvirt/log/{host}.console")
    if path is None or not path.exists():
        return []
    return [
        f"the end of {host}'s console:",
        *(f"  {line}" for line in path.read_text(errors="replace").splitlines()[-40:]),
    ]


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
