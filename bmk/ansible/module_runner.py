"""Runs our modules on a host without Ansible's library: one program on the standard input of Python.

Ansible's own way unpacks and compiles half a megabyte of its library for every call; on a node under emulation that is
three seconds of CPU for each. Our modules need none of it, so their sources and arguments are sent as they are and one
line of JSON comes back. The modules can still be called the ordinary way (`ansible -m bmk_files`). Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

COMMAND = "-I -B -"  # isolated: nothing of the host's own Python path matters
MARK = "@bmk@"
_UTILS = Path(__file__).resolve().parent / "module_utils"
_PACKAGES = ("ansible", "ansible.module_utils")

_PROGRAM = """\
import json, sys
from importlib.machinery import ModuleSpec

SOURCES = {sources}


class Sources:
    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self, is_package=name in {packages}) if name in SOURCES else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(compile(SOURCES[module.__name__], module.__name__, "exec"), module.__dict__)


class Module:
    def __init__(self, params, check_mode):
        self.params, self.check_mode = params, check_mode

    def exit_json(self, **said):
        sys.stdout.write("{mark}" + json.dumps(said) + "\\n")
        sys.stdout.flush()
        sys.exit(0)

    def fail_json(self, **said):
        self.exit_json(failed=True, **said)


sys.meta_path.insert(0, Sources())
from ansible.module_utils.bmk_entries import enter

enter({name!r}, Module(json.loads({params!r}), {check!r}))
"""


def program(name: str, params: Mapping[str, Any], check: bool) -> str:
    """The Python program that runs module `name`."""
    return _PROGRAM.format(
        sources=_sources(), packages=_PACKAGES, mark=MARK, name=name, params=json.dumps(dict(params)), check=check
    )


def answer(stdout: str) -> str | None:
    """The line of JSON that the program printed; None when it ended before. answers.py reads it."""
    lines = (line.removeprefix(MARK) for line in reversed(stdout.splitlines()) if line.startswith(MARK))
    return next(lines, None)


@cache
def _sources() -> str:
    found = {f"ansible.module_utils.{p.stem}": p.read_text() for p in sorted(_UTILS.glob("bmk_*.py"))}
    return repr(dict.fromkeys(_PACKAGES, "") | found)
