"""Python files beside the package (molecule, bench, playbooks, scripts) use names of bmk that exist."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted(p for folder in ("bench", "molecule", "playbooks") for p in (ROOT / folder).rglob("*.py")) + sorted(
    p for p in (ROOT / "scripts").iterdir() if p.is_file() and p.read_text().startswith("#!/usr/bin/env python3")
)


# Programs that tests and benchmarks hand to another Python are texts, which no type checker reads.
TEXTS = sorted(p for folder in ("bench", "tests", "bmk") for p in (ROOT / folder).rglob("*.py"))
IMPORT = re.compile(r"from (bmk[\w.]*) import ([\w, ]+)")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imported_names_exist(path: Path) -> None:
    """A function that is renamed is renamed where a role's scenario or a benchmark calls it, which run seldom."""
    missing = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "bmk":
            module = import_module(str(node.module))
            names = [alias.name for alias in node.names if not hasattr(module, alias.name)]
            package = hasattr(module, "__path__")
            missing += [name for name in names if not package or find_spec(f"{node.module}.{name}") is None]
    assert missing == []


def test_names_in_programs_that_are_texts_exist() -> None:
    """`python -c` of a test or a benchmark imports what there is."""
    missing = []
    for path in TEXTS:
        texts = [n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant)]
        for module, names in (m.groups() for text in texts if isinstance(text, str) for m in IMPORT.finditer(text)):
            for name in (one.split(" as ")[0].strip() for one in names.split(",")):
                if not hasattr(import_module(module), name) and find_spec(f"{module}.{name}") is None:
                    missing.append(f"{path.relative_to(ROOT)}: {module}.{name}")
    assert missing == []
