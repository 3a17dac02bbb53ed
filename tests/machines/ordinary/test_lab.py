"""The lab of virtual machines needs no root: an ordinary user brings it up, boots a machine and takes it down."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from bmk.errors import Exit
from tests.machines.lab.conftest import FILE, NAME, eventually

from .conftest import Ordinary

pytestmark = pytest.mark.machines

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="starts as root and becomes an ordinary user")


@pytest.fixture
def file(ordinary: Ordinary) -> Path:
    path = ordinary.home / "dc.yml"
    path.write_text(FILE)
    return path


def test_an_ordinary_user_boots_a_machine(ordinary: Ordinary, file: Path) -> None:
    """Without any capability, and with servers in /usr/sbin:

    bridge, DHCP, TFTP, HTTP, the BMC's HTTPS, and a machine that reaches the boot service by PXE.
    """
    ordinary.bmk("lab", "up", str(file))
    try:
        code = f"""
from bmk.lab.client import request
request({NAME!r}, "boot", machine="old", target="pxe", enabled="once")
request({NAME!r}, "power", machine="old", action="on")
"""
        started = ordinary.run(sys.executable, "-c", code)
        assert started.returncode == 0, started.stderr
        console = ordinary.state / NAME / "lab/machines/old/console.log"
        eventually(lambda: "nothing to install now" in console.read_text(errors="replace"), 240)
    finally:
        ordinary.bmk("lab", "down", str(file))


@as_root
@pytest.mark.parametrize("command", ["lab up", "provision"])
def test_what_needs_root_is_refused_at_once(ordinary: Ordinary, file: Path, command: str) -> None:
    """Before anything is built or started, exit 6, with the reason and what to do instead."""
    file.write_text(FILE.replace("kind: vm, cpus: 1, memory: 256MiB, disk: 1GiB", "kind: container"))
    began = time.monotonic()
    done = ordinary.run(sys.executable, "-m", "bmk", *command.split(), str(file))
    assert done.returncode == Exit.REFUSED, done.stderr
    assert "system containers need root" in done.stderr
    assert "next: the same command with sudo" in done.stderr
    assert time.monotonic() - began < 30
    assert not ordinary.cache.exists()
    assert not (ordinary.state / NAME / "lab").exists()


@as_root
def test_the_readmes_second_command_says_at_once_what_needs_root(ordinary: Ordinary) -> None:
    """Before it installs or builds: the stages that need it, and those that do not."""
    done = ordinary.run("scripts/test")
    assert done.returncode == Exit.REFUSED, done.stdout + done.stderr
    assert "needs root: services containers machines" in done.stderr
    assert "sudo scripts/test" in done.stderr
    assert "scripts/test lint unit artifacts molecule" in done.stderr
