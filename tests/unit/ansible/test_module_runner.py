"""Our modules on a bare Python, without Ansible's library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bmk.ansible.answers import MODELS, heard
from bmk.ansible.module_runner import COMMAND, answer, program
from bmk.ansible.module_table import MODULES


def _run(name: str, params: dict[str, Any], check: bool) -> dict[str, Any]:
    argv = [sys.executable, "-S", *COMMAND.split()]  # -S: no site-packages, as on a node
    done = subprocess.run(argv, input=program(name, params, check), capture_output=True, text=True, check=False)
    said = answer(done.stdout)
    assert said is not None, done.stderr
    return heard(name, said)


def test_a_module_needs_nothing_but_python(tmp_path: Path) -> None:
    """A node has no Ansible; sources and arguments come over, one answer comes back."""
    said = _run("bmk_files", {"section": "s", "items": [{"path": str(tmp_path / "f"), "content": "ü\n"}]}, check=True)
    assert said["changed"] is True
    assert said["diff"][0]["after"] == "ü\n"
    assert not (tmp_path / "f").exists()


def test_the_probe_answers_everywhere() -> None:
    """Facts, notes and sections come from any Linux, also from one that is no node."""
    said = _run("bmk_probe", {}, check=False)
    assert said["facts"]["cgroup"] in (1, 2)
    assert said["facts"]["interfaces"]["127.0.0.1"] == "lo"
    assert "manifest" in said["sections"]


def test_a_failure_is_an_answer() -> None:
    """A wrong list is a message, not a traceback."""
    said = _run("bmk_files", {"section": "s", "items": [{"content": "x"}]}, check=True)
    assert said["failed"] is True
    assert "path" in said["msg"]


@pytest.mark.parametrize("output", ["", "Traceback: x", "motd\nwelcome"])
def test_no_answer_is_none(output: str) -> None:
    """What a shell prints around is no answer."""
    assert answer(output) is None
    assert answer(f'{output}\n@bmk@{{"changed": false}}\n') == '{"changed": false}'


def test_every_module_can_go_both_ways() -> None:
    """Each module has its row of the table, its action plug-in, its entry, its answer and its ordinary program."""
    from ansible.module_utils.bmk_entries import ENTRIES  # noqa: PLC0415 - conftest makes it importable

    import bmk.ansible as package  # noqa: PLC0415

    root = Path(package.__file__).parent
    modules, actions = ({p.stem for p in (root / folder).glob("bmk_*.py")} for folder in ("modules", "action"))
    assert set(MODULES) == modules == actions == set(ENTRIES) == set(MODELS)
