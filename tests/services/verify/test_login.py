"""The suites on a host behind a real sshd: how often they log in, and what they say of what they left out."""

from __future__ import annotations

import getpass
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from bmk.verify.run import verify

pytestmark = pytest.mark.services

SSHD = "/usr/sbin/sshd"


@dataclass(frozen=True, slots=True)
class Door:
    """An sshd for this user on the loopback: its port, its log, and the settings of ssh that get in."""

    port: int
    log: Path
    ssh_config: str


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    port, log = _free(), tmp_path / "log"
    settings = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": tmp_path / "host",
        "AuthorizedKeysFile": tmp_path / "user.pub",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PermitRootLogin": "prohibit-password",
    }
    (tmp_path / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    Path("/run/sshd").mkdir(exist_ok=True)
    key = " ".join((tmp_path / "host.pub").read_text().split()[:2])
    (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {key}\n")
    sshd = subprocess.Popen([SSHD, "-D", "-E", log, "-f", tmp_path / "sshd_config"])
    try:
        _until_heard(port)
        yield Door(port, log, f"Port {port}\nIdentityFile {tmp_path}/user\nUserKnownHostsFile {tmp_path}/known\n")
    finally:
        sshd.terminate()
        sshd.wait()


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until_heard(port: int) -> None:
    end = time.monotonic() + 30
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        assert time.monotonic() < end, "sshd did not come up"
        time.sleep(0.05)


def test_all_suites_log_in_once(door: Door) -> None:
    """One login for each host, whatever number of tests asks it: a login costs a second on a slow host."""
    results = verify({"here": f"ssh://{getpass.getuser()}@127.0.0.1"}, door.ssh_config)
    assert len({r.suite for r in results}) > 5, results
    assert not [r for r in results if r.suite == "verify"]
    logins = [line for line in door.log.read_text().splitlines() if "Accepted publickey" in line]
    assert len(logins) == 1, logins


def test_what_is_skipped_says_why(door: Door) -> None:
    """A suite whose role did not run here gives the reason in words."""
    results = verify({"here": f"ssh://{getpass.getuser()}@127.0.0.1"}, door.ssh_config)
    why = {r.text for r in results if r.suite == "boot_server" and r.outcome == "skipped"}
    assert why == {"boot_server did not run here"}
