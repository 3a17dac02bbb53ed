"""Real places for backups: a directory, an sshd with sftp, an S3 server; each on the loopback and gone afterwards."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmk.backup.targets import BackupTarget, TargetAccess, open_target
from bmk.datacenter.backup_spec import BackupTargetSpec
from bmk.secrets import Credentials, Secret

SSHD = "/usr/sbin/sshd"
RCLONE = str(Path(sys.executable).with_name("rclone"))
BUCKET, LOGIN = "backups", Credentials("bmk", Secret("not-so-secret"))


@dataclass(frozen=True, slots=True)
class Place:
    """A target, its settings as dc.yml has them, and the directory in which its server keeps files."""

    target: BackupTarget
    spec: dict[str, Any]
    files: Path

    def spoil(self, name: str, content: bytes) -> None:
        """Somebody who can write there puts other bytes in the place of a backup."""
        path = self.files / name
        path.chmod(0o600)
        path.write_bytes(content)

    def content(self, name: str) -> bytes:
        return (self.files / name).read_bytes()


@contextmanager
def directory(at: Path) -> Iterator[Place]:
    files = at / "kept"
    files.mkdir()
    yield _place({"directory": {"path": str(files)}}, files, at)


@contextmanager
def ssh(at: Path) -> Iterator[Place]:
    files = at / "kept"
    files.mkdir()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", at / name], check=True)
    port = free_port()
    settings = {
        "ListenAddress": f"127.0.0.1:{port}", "HostKey": at / "host", "AuthorizedKeysFile": at / "user.pub",
        "PidFile": "none", "StrictModes": "no", "UsePAM": "no", "PermitRootLogin": "prohibit-password",
        "Subsystem": "sftp internal-sftp",
    }  # fmt: skip
    (at / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    Path("/run/sshd").mkdir(exist_ok=True)
    key = " ".join((at / "host.pub").read_text().split()[:2])
    spec = {"host": f"127.0.0.1:{port}", "user": getpass.getuser(), "path": str(files), "host_key": key}
    with _running([SSHD, "-D", "-E", str(at / "log"), "-f", str(at / "sshd_config")], port):
        yield _place({"ssh": spec}, files, at)


@contextmanager
def s3(at: Path) -> Iterator[Place]:
    files = at / "served" / BUCKET
    files.mkdir(parents=True)
    port = free_port()
    argv = [RCLONE, "serve", "s3", str(at / "served"), "--addr", f"127.0.0.1:{port}", "--vfs-cache-mode", "off"]
    argv += ["--auth-key", f"{LOGIN.username},{LOGIN.password.reveal()}", "--config", os.devnull]
    spec = {"endpoint": f"http://127.0.0.1:{port}", "bucket": BUCKET, "prefix": "par", "secret": "backup/s3"}
    with _running(argv, port):
        yield _place({"s3": spec}, files / "par", at)


PLACES = {"directory": directory, "ssh": ssh, "s3": s3}


def access(at: Path) -> TargetAccess:
    return TargetAccess(lambda: at / "user", lambda _: LOGIN, at)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _place(spec: dict[str, Any], files: Path, at: Path) -> Place:
    return Place(open_target(BackupTargetSpec.model_validate(spec), access(at)), spec, files)


@contextmanager
def _running(argv: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert process.poll() is None, f"{argv[0]} ended"
            assert time.monotonic() < end, f"{argv[0]} did not come up"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()
