"""The sequence that proves roles is itself proven: each of its judges sees what it is there for, and names it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .conftest import HOST, Bench

pytestmark = pytest.mark.containers

ROLE = "node_baseline"
NOT_IDEMPOTENT = """
- name: Note the time
  ansible.builtin.command: date
"""
BLIND_IN_CHECK_MODE = """
- name: Ask for the kernel
  ansible.builtin.command: uname -r
  changed_when: false
  register: node_baseline_kernel

- name: Look at the answer
  ansible.builtin.assert: {that: "'.' in node_baseline_kernel.stdout"}
"""


def edit(path: Path, old: str, new: str) -> None:
    """Replace what is there once; a role that changed its words is no reason to prove nothing."""
    text = path.read_text()
    assert text.count(old) == 1, f"{path} has {old!r} {text.count(old)} times"
    path.write_text(text.replace(old, new))


def add(path: Path, tasks: str) -> None:
    path.write_text(path.read_text() + tasks)


def test_the_role_as_it_is_is_green(bench: Bench, project: Path) -> None:
    """Nothing that follows is red for another reason; and the table has every step that ran."""
    code, said = bench.prove(project, ROLE)
    assert code == 0, said
    steps = re.findall(rf"^{ROLE} +(\w[\w ]*\w) +[\d.]+ +\d+ +\d+$", said, re.MULTILINE)
    assert steps == ["check", "converge", "idempotence", "check again", "side effect", "verify"], said


def test_a_task_that_is_not_idempotent_is_named(bench: Bench, project: Path) -> None:
    """A second converge may change nothing."""
    add(project / "roles/node_baseline/tasks/run.yml", NOT_IDEMPOTENT)
    code, said = bench.prove(project, ROLE)
    assert code != 0
    assert f"idempotence: {HOST}: {ROLE} : Note the time changed something" in said


def test_a_task_that_fails_in_check_mode_is_named(bench: Bench, project: Path) -> None:
    """A check of a host must come to its end, and the end of the host's journal and the way in are said."""
    add(project / "roles/node_baseline/tasks/run.yml", BLIND_IN_CHECK_MODE)
    code, said = bench.prove(project, ROLE)
    assert code != 0
    assert f"check: {HOST}: {ROLE} : Look at the answer: " in said
    assert f"the end of {HOST}'s journal:" in said
    assert f"log in: ssh -F {bench.lab.state}/molecule/ssh_config {HOST}" in said


def test_a_loosened_mode_is_named(bench: Bench, project: Path) -> None:
    """The suites know how tight a file has to be, whatever the role says."""
    before = '/etc/ssh/sshd_config.d/20-bmk.conf\n        mode: "0600"'
    edit(project / "roles/node_baseline/tasks/configure.yml", before, before.replace("0600", "0644"))
    code, said = bench.prove(project, ROLE)
    assert code != 0
    assert "/etc/ssh/sshd_config.d/20-bmk.conf" in _verdict(said)


def test_a_dropped_sysctl_is_named(bench: Bench, project: Path) -> None:
    """The suites know which settings a node needs, whatever the role says."""
    edit(project / "roles/node_baseline/defaults/main.yml", "  kernel.panic_on_oops: 1\n", "")
    code, said = bench.prove(project, ROLE)
    assert code != 0
    assert "kernel.panic_on_oops is set to None, not 1" in _verdict(said)


def test_a_waiver_that_nothing_needs_is_named(bench: Bench, project: Path) -> None:
    """An exception does not outlive its reason."""
    waiver = f'{{scenario: {ROLE}, step: idempotence, task: "{ROLE} : Set the kernel", reason: it was so once}}'
    add(project / "molecule/waivers.yml", f"  - {waiver}\n")
    code, said = bench.prove(project, ROLE)
    assert code != 0
    assert f"idempotence: the waiver of '{ROLE} : Set the kernel' is not needed" in said


def _verdict(said: str) -> str:
    """The line with which verify ends."""
    lines = [line for line in said.splitlines() if "verify: localhost: Hold them to it" in line]
    assert lines, said
    return lines[0]
