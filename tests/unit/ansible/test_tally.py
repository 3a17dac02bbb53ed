"""What molecule's steps may change."""

from __future__ import annotations

import json
import subprocess
import sys

from bmk.ansible.tally import failure, is_strict, step_of, table, violations


def test_a_change_of_a_strict_step_is_named() -> None:
    """Host, task and items of a change that nobody allowed are in the fault."""
    assert violations(["worker-1: kubelet : Write files /etc/x"], []) == [
        "worker-1: kubelet : Write files /etc/x changed something"
    ]


def test_a_waived_change_is_none() -> None:
    """A waiver lets its own task change, and no other."""
    changed = ["worker-1: kubelet : Write files", "worker-1: kubelet : Run"]
    assert violations(changed, ["kubelet : Write files"]) == ["worker-1: kubelet : Run changed something"]


def test_a_waiver_that_nothing_needs_is_a_fault() -> None:
    """Waivers do not outlive their reason."""
    assert violations([], ["kubelet : Write files"]) == ["the waiver of 'kubelet : Write files' is not needed"]


def test_steps_have_molecules_names() -> None:
    """What is strict depends on whether the host had converged before."""
    assert step_of("/x/converge.yml", check=True, converged=False) == "check"
    assert step_of("/x/converge.yml", check=True, converged=True) == "check again"
    assert step_of("/x/converge.yml", check=False, converged=True) == "idempotence"
    assert step_of("/x/side_effect.yml", check=False, converged=True) == "side effect"


def test_a_failure_is_one_line() -> None:
    """Host, task and the first line of the reason, or that there is none."""
    said = {"msg": "no room\nTraceback"}
    assert failure("worker-1", "kubelet : Write files", said) == "worker-1: kubelet : Write files: no room"
    assert failure("worker-1", "Run", {}) == "worker-1: Run: no message"
    ended = {"msg": "non-zero return code", "stderr": "lab is up\nerror: vagrant up failed\n  why: exit 1\n", "rc": 1}
    assert failure("localhost", "Start", ended) == "localhost: Start: error: vagrant up failed"


def test_the_table_has_a_line_for_each_step_and_their_sum() -> None:
    """Seconds, calls of modules and changes of steps add up in its last line; a failed step is marked."""
    row = {"scenario": "kubelet", "step": "converge", "seconds": 40.5, "calls": 11, "changed": 8, "failed": False}
    lines = [line.split() for line in table([row, {**row, "step": "idempotence", "seconds": 5.0, "failed": True}])]
    assert lines[1:] == [
        ["kubelet", "converge", "40.5", "11", "8"],
        ["kubelet", "idempotence", "5.0", "11", "8", "failed"],
        ["all", "45.5", "22", "16"],
    ]


def test_a_run_of_many_scenarios_ends_with_all_their_steps() -> None:
    """What the plug-in wrote of each, line by line, comes out as one table with one sum."""
    row = {"scenario": "kubelet", "step": "converge", "seconds": 40.5, "calls": 11, "changed": 8, "failed": False}
    written = "".join(json.dumps({**row, "scenario": name}) + "\n" for name in ("kubelet", "worker"))
    argv = [sys.executable, "-m", "bmk.ansible.tally"]
    said = subprocess.run(argv, input=written, capture_output=True, text=True, check=True).stdout
    assert [line.split()[0] for line in said.splitlines()] == ["scenario", "kubelet", "worker", "all"]
    assert said.splitlines()[-1].split() == ["all", "81", "22", "16"]


def test_a_converge_with_expected_changes_is_strict() -> None:
    """An upgrade says what it changes; the first converge of a bare host may change anything."""
    assert is_strict("idempotence", [])
    assert is_strict("check again", [])
    assert is_strict("converge", ["kubelet : Write files"])
    assert not is_strict("converge", [])
    assert not is_strict("check", ["kubelet : Write files"])
