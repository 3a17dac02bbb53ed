"""A bare Debian with systemd in a container, for the role that makes a boot server of it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bmk.artifacts.node.sources import find_mirror
from bmk.paths import cache_dir, content_dir

HALL = content_dir() / "tests" / "unit" / "boot" / "hall"
# What the role would install, because the container has no network; systemd must find it switched off or replace it.
PACKAGES = (
    "systemd-sysv",
    "dbus",
    "python3",
    "iproute2",
    "curl",
    "dnsmasq-base",
    "docker-registry",
    "ipxe",
    "nginx-light",
)


@dataclass(frozen=True, slots=True)
class Machine:
    """A booted container, by its PID 1."""

    pid: int

    def run(self, *argv: str, user: str | None = None) -> subprocess.CompletedProcess[str]:
        become = ("setpriv", "--reuid", user, "--regid", "bmk", "--clear-groups") if user else ()
        path = f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
        env = ("env", "-i", "HOME=/root", f"PATH={path}", "LC_ALL=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1")
        command = ["nsenter", "-t", str(self.pid), "-a", "--", *env, *become, *argv]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)

    def says(self, *argv: str) -> str:
        done = self.run(*argv)
        assert done.returncode == 0, (argv, done.stdout, done.stderr)
        return done.stdout

    def play(self, *more: str, book: str = "boot.yml") -> str:
        """Run a playbook as its head comment says; returns what Ansible printed."""
        settings = {
            "boot_server_python": sys.executable,
            "boot_server_datacenter": str(HALL),
            "drift_timer_bmk": str(Path(sys.executable).parent / "bmk"),
            "drift_timer_datacenter": str(content_dir() / "inventories/example"),  # real racks: no lab to enter
        }
        extra = [word for name, value in settings.items() for word in ("-e", f"{name}={value}")]
        playbook = str(content_dir() / "playbooks" / book)
        config = f"ANSIBLE_CONFIG={content_dir() / 'ansible.cfg'}"
        return self.says("env", config, "ansible-playbook", "-i", "/srv/inventory", playbook, *extra, *more)


def _root() -> Path:
    """The container's root, made once for this list of packages."""
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    digest = hashlib.sha256(repr((suite, PACKAGES)).encode()).hexdigest()[:12]
    target = cache_dir() / "rootfs" / f"boot-server-{digest}"
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        archive = target.with_suffix(".tar")
        command = ["mmdebstrap", "--quiet", "--variant=important", f"--include={','.join(PACKAGES)}", "--format=tar"]
        with archive.open("wb") as out:
            subprocess.run([*command, suite, "-", *find_mirror().lines(suite)], stdout=out, check=True)
        fresh = target.with_suffix(".new")
        subprocess.run(["rm", "-rf", "--", str(fresh)], check=True)
        fresh.mkdir()
        subprocess.run(["tar", "-xpf", str(archive), "--numeric-owner", "-C", str(fresh)], check=True)
        archive.unlink()
        fresh.rename(target)
    return target


@pytest.fixture(scope="package")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The boot server to be; gone with everything in it when the tests end."""
    if os.geteuid() != 0:
        pytest.skip("system containers need root")
    upper = tmp_path_factory.mktemp("boot-server")
    seen = [str(content_dir()), *({sys.base_prefix} - {"/usr"})]
    command = [str(Path(__file__).parent / "start"), str(_root()), str(upper), "10.20.0.2/16", *seen]
    with (upper / "console.txt").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        made = Machine(_first(process))
        _until_up(made, upper / "console.txt")
        inventory = f'#!/bin/sh\nexec bmk inventory {HALL} "$@"\n'
        made.says("sh", "-c", f"printf '%s' '{inventory}' > /srv/inventory; chmod +x /srv/inventory")
        yield made
    finally:
        process.kill()
        process.wait()
        _tidy()


def _first(process: subprocess.Popen[bytes]) -> int:
    """PID of the container's systemd, as this machine counts."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children and b"/systemd\0" in Path(f"/proc/{children[0]}/cmdline").read_bytes():
            return int(children[0])
        time.sleep(0.1)
    raise AssertionError("the container's systemd did not start")


def _until_up(machine: Machine, console: Path) -> None:
    deadline = time.monotonic() + 120
    while machine.run("systemctl", "is-active", "multi-user.target").returncode != 0:
        assert time.monotonic() < deadline, console.read_text(errors="replace")[-2000:]
        time.sleep(0.5)


def _tidy() -> None:
    """Remove the container's cgroups, once its processes have ended."""
    deadline = time.monotonic() + 20
    while (left := _groups()) and time.monotonic() < deadline:
        for directory in left:
            with contextlib.suppress(OSError):
                directory.rmdir()
        time.sleep(0.1)


def _groups() -> list[Path]:
    """What is left of the container's cgroups, the innermost first."""
    found: list[Path] = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        group = Path(f"/sys/fs/cgroup/{controllers.removeprefix('name=')}{path.rstrip('/')}/bmk-boot-server-test")
        found += [Path(name) for name, _, _ in os.walk(group, topdown=False)]
    return found
