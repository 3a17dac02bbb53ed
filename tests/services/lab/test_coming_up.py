"""Services that are not found, do not start or hang, a command that is killed: named at once, and no lab is half up."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bmk.errors import Exit, PreflightRefused
from bmk.lab.services import Daemon, Daemons

from .conftest import Lab, eventually, name_of
from .test_lifecycle import supervisor_pid

pytestmark = pytest.mark.services

ORDINARY = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"  # of Debian's /etc/profile, for all but root
NGINX = str(shutil.which("nginx", path="/usr/sbin"))
PLAYS_DEAD = "exec sleep 1000"


@pytest.fixture
def lab(make_lab: Callable[[str], Lab]) -> Lab:
    """A lab that is down, for an ordinary user's PATH."""
    lab = make_lab("a")
    lab.path = ORDINARY
    return lab


def nginx_is(lab: Lab, script: str) -> None:
    """From now on this shell script is nginx."""
    program = lab.state.parent / "bin" / "nginx"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    lab.path = f"{program.parent}:{ORDINARY}"


def killed_while_it_waits(lab: Lab) -> None:
    """`bmk lab up` is killed when it has come as far as nginx."""
    command = [sys.executable, "-m", "bmk", "lab", "up", str(lab.file)]
    with subprocess.Popen(command, env=lab.environment, stderr=subprocess.PIPE, text=True) as up:
        assert up.stderr is not None
        assert any("waiting for nginx" in line for line in up.stderr)
        up.send_signal(signal.SIGKILL)


def is_gone(lab: Lab) -> bool:
    return not (lab.directory / "supervisor.json").exists() and not lab.processes()


def test_servers_are_found_where_an_ordinary_users_path_does_not_lead(lab: Lab) -> None:
    """nginx and dnsmasq lie in /usr/sbin, which Debian leaves out of PATH."""
    assert shutil.which("nginx", path=ORDINARY) is None
    lab.up()
    assert not any("nginx" in line for line in lab.bmk("events", str(lab.file)).stdout.splitlines() if "ended" in line)


def test_a_service_that_ends_at_once_is_named_with_its_last_words(lab: Lab) -> None:
    """Program, reason, log and next command, in seconds; nothing of the lab is left, and the next command makes it."""
    nginx_is(lab, "echo 'bind() to 10.61.0.1:80 failed' >&2; exit 1")
    done = lab.bmk("lab", "up", str(lab.file), check=False)
    assert done.returncode == Exit.REFUSED, done.stderr
    assert "services/nginx.log: the lab did not come up: nginx does not stay up" in done.stderr
    assert "why: bind() to 10.61.0.1:80 failed" in done.stderr
    assert "next: mend what its log says, then the same command again" in done.stderr
    assert is_gone(lab)
    lab.path = ORDINARY
    lab.up()


def test_a_service_that_cannot_be_started_is_named_with_the_reason(tmp_path: Path) -> None:
    """Its log says why, though the program itself could say nothing."""

    async def wait() -> None:
        services = Daemons(tmp_path, lambda kind, text: None)
        services.start(Daemon("registry", ("no-such-program",)))
        try:
            await services.ready(services.started.values(), lambda name: None)
        finally:
            await services.stop()

    with pytest.raises(PreflightRefused, match="registry does not stay up") as caught:
        asyncio.run(asyncio.wait_for(wait(), 30))
    assert caught.value.where == str(tmp_path / "registry.log")
    assert "no-such-program cannot be started: No such file or directory" in caught.value.why


def test_a_dhcp_server_that_ends_at_once_is_named(lab: Lab) -> None:
    """It answers nobody by TCP: that it began is not enough."""
    nginx_is(lab, f'exec {NGINX} "$@"')
    dnsmasq = lab.state.parent / "bin/dnsmasq"
    dnsmasq.write_text("#!/bin/sh\necho 'no interface' >&2; exit 2\n")
    dnsmasq.chmod(0o755)
    done = lab.bmk("lab", "up", str(lab.file), check=False)
    assert done.returncode == Exit.REFUSED, done.stderr
    assert "dnsmasq does not stay up" in done.stderr
    assert "why: no interface" in done.stderr


def test_a_lab_that_is_coming_up_is_waited_for(lab: Lab) -> None:
    """Whoever began it was killed: the next command takes over, and it is complete when that ends."""
    go = lab.state.parent / "go"
    nginx_is(lab, f'until [ -e {shlex.quote(str(go))} ]; do sleep 0.1; done; exec {NGINX} "$@"')
    killed_while_it_waits(lab)
    first = supervisor_pid(lab)
    command = [sys.executable, "-m", "bmk", "lab", "up", str(lab.file)]
    with subprocess.Popen(command, env=lab.environment, stderr=subprocess.PIPE, text=True) as up:
        assert up.stderr is not None
        assert any("waiting for nginx" in line for line in up.stderr)
        go.touch()
        assert "is up" in up.stderr.read()
    assert up.returncode == 0
    assert supervisor_pid(lab) == first


def test_a_lab_without_all_services_is_not_up(lab: Lab) -> None:
    """nginx runs and answers nobody: the next command says so when its patience ends, the one after it has a lab."""
    nginx_is(lab, PLAYS_DEAD)
    killed_while_it_waits(lab)
    code = f"""
from bmk.datacenter.load import load_datacenter
from bmk.lab.lifecycle import bring_up
bring_up(load_datacenter({str(lab.file)!r}), {str(lab.file)!r}, print, patience=1)
"""
    done = lab.python(code)
    assert "the lab did not come up in 1 s: waiting for nginx" in done.stderr, done.stderr
    assert is_gone(lab)
    lab.path = ORDINARY
    lab.up()


def test_a_lab_that_lost_a_service_is_not_complete(lab: Lab) -> None:
    """nginx ended long after the lab was up, and does not come back: `up` says so instead of "is up"."""
    nginx_is(lab, f'exec {NGINX} "$@"')
    lab.up()
    nginx_is(lab, "echo 'no space left' >&2; exit 1")
    os.kill(next(pid for pid in lab.processes() if "nginx: master" in name_of(pid)), signal.SIGTERM)
    eventually(lambda: "nginx does not stay up" in lab.bmk("lab", "up", str(lab.file), check=False).stderr)


def test_a_program_that_is_missing_is_named_with_its_package(lab: Lab) -> None:
    """Before anything is made: all that is missing at once, and one command that installs it."""
    gone = ["mount", "--bind", "/dev/null"]
    hide = " && ".join(shlex.join([*gone, str(shutil.which(name, path="/usr/sbin"))]) for name in ("nginx", "dnsmasq"))
    command = shlex.join([sys.executable, "-m", "bmk", "provision", str(lab.file), "--yes"])
    argv = ["unshare", "--mount", "sh", "-c", f"{hide} && exec {command}"]
    done = subprocess.run(argv, env=lab.environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == Exit.REFUSED, done.stderr
    assert "not installed: dnsmasq, nginx" in done.stderr
    assert "next: scripts/setup, or as root: apt-get install dnsmasq-base nginx-light" in done.stderr
    assert not lab.directory.exists()
