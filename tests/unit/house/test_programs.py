"""Every program that bmk starts stands in one table, and the packages of that table are what scripts/setup installs."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from bmk.boot import server
from bmk.datacenter.load import load_datacenter
from bmk.lab.vagrant import libvirt
from bmk.programs import PROGRAMS, find

ROOT = Path(__file__).resolve().parents[3]
PACKAGE_OF = {program: package for programs in PROGRAMS.values() for program, package in programs.items()}
LISTED = {line.partition("#")[0].strip() for line in (ROOT / "scripts/packages.txt").read_text().splitlines()} - {""}
STARTS = {"run", "Popen", "create_subprocess_exec", "execvp", "execv", "execve"}
# What runs on nodes, in the ramdisk or in the node image has the programs of those.
ELSEWHERE = (
    "ansible/module_utils", "ansible/modules", "artifacts/node/pack_stdlib.py", "agent/", "hardening/on_node.py",
    "certificates/on_node.py", "backup/on_node.py", "encryption/on_node.py", "verify/suites",
)  # fmt: skip


def started(source: str) -> Iterator[str]:
    """Names of programs that a module starts, as far as they are written there."""
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if call.args and isinstance(call.func, ast.Attribute) and _starts(call.func):
            around = [f for f in functions if f.lineno <= call.lineno <= (f.end_lineno or 0)]
            if isinstance(name := _first(call.args[0], around[-1:]), str):
                yield name


def _starts(function: ast.Attribute) -> bool:
    return function.attr in STARTS and ast.unparse(function) != "asyncio.run" and isinstance(function.value, ast.Name)


def _first(node: ast.expr, scope: list[ast.FunctionDef | ast.AsyncFunctionDef]) -> object:
    """The first word of a command: of a literal, or of the one that a name was given in the same function."""
    match node:
        case ast.Constant():
            return node.value
        case ast.List(elts=[first, *_]) | ast.Tuple(elts=[first, *_]):
            return _first(first, scope)
        case ast.Starred() | ast.BinOp():
            return _first(node.value if isinstance(node, ast.Starred) else node.left, scope)
        case ast.Name():
            given = [a for f in scope for a in ast.walk(f) if isinstance(a, ast.Assign)]
            values = (a.value for a in given if [ast.unparse(t) for t in a.targets] == [node.id])
            return next((_first(value, []) for value in values), None)
    return None


@cache
def programs_of_source() -> frozenset[str]:
    modules = (path for path in (ROOT / "bmk").rglob("*.py"))
    mine = (path for path in modules if not str(path.relative_to(ROOT / "bmk")).startswith(ELSEWHERE))
    return frozenset(name for path in mine for name in started(path.read_text()))


def test_every_program_that_is_started_is_in_the_table() -> None:
    """What is not in it is looked for by nobody beforehand, and its user waits or gets a traceback."""
    assert len(programs_of_source()) > 15, "the search does not find what it shall"
    assert sorted(programs_of_source() - PACKAGE_OF.keys()) == []


def test_every_server_of_a_lab_is_in_the_table(tmp_path: Path) -> None:
    """Their commands are put together elsewhere than where they are started."""
    processes = server.processes(load_datacenter("lab"), tmp_path, tmp_path)
    commands = [*(p.argv for p in processes), *(s.command for s in libvirt.services())]
    names = {Path(argv[0]).name for argv in commands if "python" not in Path(argv[0]).name}
    assert len(names) == 4
    assert sorted(names - PACKAGE_OF.keys()) == []


def test_setup_installs_every_package_of_the_table() -> None:
    """Or it is part of every Debian."""
    flags = subprocess.run(["dpkg-query", "-W", "-f", "${Essential} ${Package}\n"], capture_output=True, check=True)
    essential = {line[4:] for line in flags.stdout.decode().splitlines() if line.startswith("yes ")}
    assert sorted(set(PACKAGE_OF.values()) - LISTED - essential) == []


@pytest.mark.parametrize("program", sorted(PACKAGE_OF))
def test_the_package_has_the_program(program: str) -> None:
    """On this machine, which scripts/setup made: the package itself, or one that it depends on."""
    path = find(program)
    assert path is not None
    places = {path, str(Path(path).resolve()), *(f"/{d}/{Path(path).name}" for d in ("bin", "sbin", "usr/bin"))}
    owner = subprocess.run(["dpkg-query", "-S", *places], capture_output=True, text=True, check=False).stdout
    owners = {line.partition(":")[0] for line in owner.splitlines()}
    assert owners & _with_dependencies(PACKAGE_OF[program]), owner


def _with_dependencies(package: str, depth: int = 3) -> set[str]:
    """Names of packages that come with it."""
    names = _dependencies().get(package, []) if depth else []
    return {package}.union(*(_with_dependencies(name, depth - 1) for name in names))


@cache
def _dependencies() -> dict[str, list[str]]:
    show = ["dpkg-query", "-W", "-f", "${Package}\t${Depends}\n"]
    lines = subprocess.run(show, capture_output=True, text=True, check=True).stdout.splitlines()
    return {
        name: re.findall(r"(?:^|, |\| )([a-z0-9.+-]+)", depends)
        for name, _, depends in (x.partition("\t") for x in lines)
    }
