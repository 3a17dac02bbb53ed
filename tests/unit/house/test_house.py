"""Rules of the house that no linter knows. CONTRIBUTING.md says them to people."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

from bmk.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[3]
FUNCTION_MAX, MODULE_MAX, TASKS_MAX = 60, 400, 80
VAGUE = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def files(*patterns: str) -> list[Path]:
    """Files of the repository, tracked or new, never ignored ones."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    out = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for line in out.splitlines() if (path := ROOT / line).is_file()]


def functions(path: Path) -> Iterator[Function]:
    tree = ast.parse(path.read_text())
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_functions_and_modules_stay_small() -> None:
    """No function above 60 lines, no module above 400, no task file above 80: what is longer hides something."""
    long = [f"{path}: module" for path in files("bmk/*.py") if len(path.read_text().splitlines()) > MODULE_MAX]
    tasks = files("roles/*/tasks/*.yml", "roles/*/handlers/*.yml", "playbooks/*.yml")
    long += [f"{path}: tasks" for path in tasks if len(path.read_text().splitlines()) > TASKS_MAX]
    for path in files("bmk/*.py"):
        sizes = ((f.name, (f.end_lineno or f.lineno) - f.lineno + 1) for f in functions(path))
        long += [f"{path}: {name}" for name, lines in sizes if lines > FUNCTION_MAX]
    assert long == []


def test_names_say_something() -> None:
    """No module is a drawer for everything."""
    assert [str(path) for path in files("bmk/*.py") if path.stem in VAGUE] == []


def test_every_test_says_what_it_guarantees() -> None:
    """A test without a sentence cannot be judged when it fails."""
    mute = [
        f"{path.relative_to(ROOT)}: {f.name}"
        for path in files("tests/*.py")
        for f in functions(path)
        if f.name.startswith("test_") and not ast.get_docstring(f)
    ]
    assert mute == []


def test_the_readme_begins_with_the_two_commands() -> None:
    """The first code block is the main job, the second the tests; continuous integration runs the second."""
    blocks = re.findall(r"^```\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert [block.strip() for block in blocks[:2]] == ["scripts/lab", "scripts/test"]
    commands = [line for line in (ROOT / ".ci/run").read_text().splitlines() if line and not line.startswith("#")]
    assert commands[-1] == "exec scripts/test"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_of_the_table_is_there(name: str) -> None:
    """What `bmk --help` lists can be called, and explains itself."""
    command = import_module(COMMANDS[name][0]).command
    assert isinstance(command, click.Command)
    assert command.help


def test_every_command_that_a_message_names_exists() -> None:
    """Whoever follows a hint types something that bmk knows: in messages of bmk, of modules and of roles."""
    named = re.compile(r"(?:`|[Nn]ext: |hint=f?\"(?:run )?)bmk ([a-z]+)")
    found = {(p.name, word) for p in files("bmk/*.py", "roles/*.yml") for word in named.findall(p.read_text())}
    assert len(found) > 50
    assert [(name, word) for name, word in found if word not in COMMANDS] == []
