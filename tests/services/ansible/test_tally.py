"""The callback plug-in on real runs of ansible-playbook: what it counts, names, and ends the run for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bmk.paths import content_dir

pytestmark = pytest.mark.services

WOULD_CHANGE = "{name: Would, ansible.builtin.debug: {msg: x}, changed_when: ansible_check_mode}"
CHANGES = '{name: Writes, ansible.builtin.copy: {content: \'{{ lookup("pipe", "date +%N") }}\', dest: DIRECTORY/x}}'
FAILS = "{name: Refuses, ansible.builtin.fail: {msg: no room}}"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A directory as molecule has one."""

    path: Path

    def run(self, task: str, *options: str, converged: bool = True, waivers: str = "[]") -> tuple[int, str]:
        """converge.yml with one task: exit code and what was said."""
        tasks = task.replace("DIRECTORY", str(self.path))
        play = f"- hosts: localhost\n  gather_facts: false\n  tasks:\n    - {tasks}\n"
        (self.path / "converge.yml").write_text(play)
        (self.path / "state.yml").write_text(f"converged: {str(converged).lower()}\n")
        (self.path / "waivers.yml").write_text(f"waivers: {waivers}\n")
        argv = [
            sys.executable,
            "-m",
            "ansible",
            "playbook",
            "-i",
            "localhost,",
            "-c",
            "local",
            *options,
            "converge.yml",
        ]
        done = subprocess.run(argv, cwd=self.path, env=self.env, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    @property
    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "ANSIBLE_CALLBACK_PLUGINS": str(content_dir() / "bmk/ansible/callback"),
            "ANSIBLE_STDOUT_CALLBACK": "bmk_tally",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_NOCOLOR": "1",
            "MOLECULE_STATE_FILE": str(self.path / "state.yml"),
            "MOLECULE_EPHEMERAL_DIRECTORY": str(self.path),
            "MOLECULE_SCENARIO_NAME": "role",
            "BMK_MOLECULE_WAIVERS": str(self.path / "waivers.yml"),
        }

    @property
    def steps(self) -> list[tuple[str, int, bool]]:
        """Step, changes, whether it failed."""
        rows = map(json.loads, (self.path / "steps.jsonl").read_text().splitlines())
        return [(row["step"], row["changed"], row["failed"]) for row in rows]


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    return Scenario(tmp_path)


def test_a_check_that_would_change_something_ends_red(scenario: Scenario) -> None:
    """Also when Ansible's own output leaves the change out, as for a debug task."""
    code, said = scenario.run(WOULD_CHANGE, "--check")
    assert code == 2, said
    assert "check again: localhost: Would changed something" in said
    assert scenario.steps == [("check again", 1, True)]


def test_a_second_converge_that_changes_something_ends_red(scenario: Scenario) -> None:
    """The task is named; a first converge may change what it likes."""
    assert scenario.run(CHANGES, converged=False)[0] == 0
    code, said = scenario.run(CHANGES)
    assert code == 2, said
    assert "idempotence: localhost: Writes changed something" in said
    assert scenario.steps == [("converge", 1, False), ("idempotence", 1, True)]


def test_a_waived_change_passes_and_counts_as_none(scenario: Scenario) -> None:
    """molecule's own idempotence looks for `changed=` in what Ansible says at the end."""
    waiver = "[{scenario: role, step: idempotence, task: Writes, reason: it is the time}]"
    code, said = scenario.run(CHANGES, waivers=waiver)
    assert code == 0, said
    assert "changed=0" in said


def test_a_waiver_that_nothing_needs_ends_red(scenario: Scenario) -> None:
    """In a converge with expected changes too: what did not happen was not expected."""
    for step, converged in (("idempotence", True), ("converge", False)):
        waiver = f"[{{scenario: role, step: {step}, task: Writes, reason: it was so}}]"
        code, said = scenario.run("{name: Looks, ansible.builtin.debug: {}}", converged=converged, waivers=waiver)
        assert code == 2, said
        assert f"{step}: the waiver of 'Writes' is not needed" in said


def test_a_task_that_fails_is_named_at_the_end(scenario: Scenario) -> None:
    """Below the recap, where a person looks, with the table of what ran."""
    code, said = scenario.run(FAILS, converged=False)
    assert code == 2, said
    recap = said.rpartition("PLAY RECAP")[2]
    assert "converge: localhost: Refuses: no room" in recap
    assert "failed" in recap.rpartition("converge ")[2]
