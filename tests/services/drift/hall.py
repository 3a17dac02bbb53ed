"""Hosts that are nothing but an sshd with some directories of its own, hundreds of them on one machine.

    hall.py DIRECTORY FIRST COUNT     inside a network namespace: start them and stay until stdin closes

Each host has an address of 10.77.0.0/16, a host key, and a mount namespace in which /etc, /root, /opt, /usr/local and
/var/lib are its own. All of them share one network.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

OWN = ("etc", "root", "opt", "usr/local", "var/lib/kubelet", "var/lib/bmk")
CONFIG = """\
Port 22
ListenAddress {address}
HostKey {host}/key
AuthorizedKeysFile /root/.ssh/authorized_keys
PidFile none
UsePAM no
PasswordAuthentication no
StrictModes no
UseDNS no
PrintMotd no
LogLevel ERROR
MaxStartups 100
"""


def address(number: int) -> str:
    """Of host 1, 2, ..."""
    return f"10.77.{number // 250}.{number % 250 + 1}"


def prepare(hosts: Path, number: int, public_key: str, template: Path) -> Path:
    """Directories and keys of a host; returns its directory."""
    host = hosts / f"n{number}"
    shutil.copytree(template, host, symlinks=True)
    (host / "root/.ssh").mkdir(parents=True, mode=0o700)
    (host / "root/.ssh/authorized_keys").write_text(public_key)
    (host / "root/.ssh/authorized_keys").chmod(0o600)
    (host / "sshd_config").write_text(CONFIG.format(address=address(number), host=host))
    return host


def template(at: Path) -> Path:
    """What a host starts with: enough of /etc to be asked, and none of this machine's configuration."""
    for name in OWN:
        (at / name).mkdir(parents=True)
    for name in ("passwd", "group", "shadow", "nsswitch.conf", "ld.so.cache", "os-release"):
        source = Path("/etc") / name
        if source.exists():
            shutil.copy2(source, at / "etc" / name)
    for name in ("ssl", "alternatives"):
        if (Path("/etc") / name).is_dir():
            shutil.copytree(Path("/etc") / name, at / "etc" / name, symlinks=True, ignore_dangling_symlinks=True)
    for name in ("etc/cron.d", "etc/sudoers.d", "etc/systemd/system", "etc/ssh", "etc/sysctl.d", "usr/local/bin"):
        (at / name).mkdir(parents=True, exist_ok=True)
    return at


def start(host: Path) -> subprocess.Popen[bytes]:
    """sshd in mounts of its own; it dies with this process."""
    binds = "; ".join(f"mount --bind {host}/{name} /{name}" for name in OWN)
    script = f"{binds}; mkdir -p /run/sshd; exec /usr/sbin/sshd -D -f {host}/sshd_config -E {host}/sshd.log"
    for name in OWN:
        Path("/", name).mkdir(parents=True, exist_ok=True)
    argv = [
        "setpriv",
        "--pdeathsig",
        "KILL",
        "--",
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-ec",
        script,
    ]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL)


def main() -> None:
    """Start them all and stay."""
    hosts, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    running = [start(hosts / f"n{number}") for number in range(first, first + count)]
    sys.stdout.write("started\n")
    sys.stdout.flush()
    for line in sys.stdin:  # a number: that host falls silent
        running[int(line) - first].kill()
        running[int(line) - first].wait()
        sys.stdout.write("stopped\n")
        sys.stdout.flush()
    for process in running:
        process.send_signal(signal.SIGTERM)


if __name__ == "__main__":
    os.umask(0o022)
    main()
