"""The lab of virtual machines needs no root: an ordinary user brings it up, boots a machine and takes it down."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import FILE, NAME, eventually

pytestmark = pytest.mark.machines

USER = 12345  # nobody in particular, with no entry in /etc/passwd
REPOSITORY = Path(__file__).parents[3]


def blocked(path: Path) -> Path | None:
    """The highest directory above `path` that other users may not pass."""
    return next((p for p in reversed(path.parents) if not p.stat().st_mode & 0o001), None)


def opened(stash: Path) -> str:
    """Shell lines that make the interpreter and the checkout readable for others, in a private mount namespace."""
    needed = dict.fromkeys(Path(p).resolve() for p in (sys.base_prefix, sys.prefix, REPOSITORY))
    shut = {path: top for path in needed if (top := blocked(path))}
    lines = []
    for number, path in enumerate(shut):
        lines += [f"mkdir {stash}/{number}", f"mount --bind {path} {stash}/{number}"]
    lines += [f"mount -t tmpfs -o mode=755 tmpfs {top}" for top in dict.fromkeys(shut.values())]
    for number, path in enumerate(shut):
        lines += [f"mkdir -p {path}", f"mount --bind {stash}/{number} {path}"]
    return "\n".join(lines)


class Ordinary:
    """An ordinary user with a home of their own."""

    def __init__(self, home: Path, stash: Path) -> None:
        self.home, self._stash = home, stash

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "BMK_STATE_DIR": str(self.home / "state")}
        drop = f"setpriv --reuid {USER} --regid {USER} --clear-groups --bounding-set=-all --inh-caps=-all"
        words = shlex.join(command)
        if os.geteuid() == 0:
            script = f"set -e\n{opened(self._stash)}\nexec {drop} {words}"
            command = ("unshare", "--mount", "--propagation", "private", "sh", "-c", script)
        done = subprocess.run(
            command, env=environment, cwd="/", capture_output=True, text=True, timeout=200, check=False
        )
        for left in self._stash.iterdir():
            left.rmdir()
        return done

    def bmk(self, *arguments: str) -> str:
        done = self.run(sys.executable, "-m", "bmk", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def ordinary(tmp_path: Path) -> Ordinary:
    home, stash = tmp_path / "home", tmp_path / "stash"
    for directory in (home, stash):
        directory.mkdir()
    for parent in (tmp_path, *list(tmp_path.parents)[:2]):
        parent.chmod(0o755)
    (home / "dc.yml").write_text(FILE)
    if os.geteuid() == 0:
        os.chown(home, USER, USER)
    user = Ordinary(home, stash)
    allowed = user.run("unshare", "--user", "--map-root-user", "--net", "true")
    if allowed.returncode != 0:
        pytest.skip(f"this machine forbids user namespaces to ordinary users: {allowed.stderr.strip()}")
    return user


def test_an_ordinary_user_boots_a_machine(ordinary: Ordinary) -> None:
    """Without any capability:

    bridge, DHCP, TFTP, HTTP, the BMC's HTTPS, and a machine that reaches the boot service by PXE.
    """
    file = str(ordinary.home / "dc.yml")
    ordinary.bmk("lab", "up", file)
    try:
        code = f"""
from bmk.lab.client import request
request({NAME!r}, "boot", machine="old", target="pxe", enabled="once")
request({NAME!r}, "power", machine="old", action="on")
"""
        started = ordinary.run(sys.executable, "-c", code)
        assert started.returncode == 0, started.stderr
        console = ordinary.home / "state" / NAME / "lab/machines/old/console.log"
        eventually(lambda: "nothing to install now" in console.read_text(errors="replace"), 240)
    finally:
        ordinary.bmk("lab", "down", file)


@pytest.mark.skipif(os.geteuid() != 0, reason="starts as root and becomes an ordinary user")
def test_containers_are_refused_with_the_reason(ordinary: Ordinary) -> None:
    """What needs root is refused before anything starts, exit 6, with what to do instead."""
    file = ordinary.home / "dc.yml"
    file.write_text(FILE.replace("kind: vm, cpus: 1, memory: 256MiB, disk: 1GiB", "kind: container"))
    done = ordinary.run(sys.executable, "-m", "bmk", "lab", "up", str(file))
    assert done.returncode == 6
    assert "need root" in done.stderr
    assert "sudo bmk lab up" in done.stderr
