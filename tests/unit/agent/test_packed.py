"""What is packed into the install ramdisk is complete."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bmk.artifacts.ramdisk import pack_agent

IMPORT_ALL = """
import importlib, sys, zipfile
sys.path.insert(0, sys.argv[1])
for name in zipfile.ZipFile(sys.argv[1]).namelist():
    if name != "__main__.py":
        importlib.import_module(name.removesuffix(".py").replace("/", ".").removesuffix(".__init__"))
"""


def test_the_packed_agent_needs_the_standard_library_only(tmp_path: Path) -> None:
    """Every module of it can be imported where no package is installed and nothing else of bmk is."""
    agent = tmp_path / "agent.pyz"
    agent.write_bytes(pack_agent())
    command = [sys.executable, "-I", "-S", "-c", IMPORT_ALL, agent]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
