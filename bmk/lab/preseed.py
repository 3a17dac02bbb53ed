"""A system container that is installed already: for tests of what comes after the installation (roles, kubeadm), in a
second.

It writes what the install agent would write: host name, network by MAC, ssh host keys, the deployer's key. Containers
only: a virtual machine's disk is never written but by its own installer.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from bmk.datacenter.resolve import Host
from bmk.paths import state_dir

_NETWORK = """\
[Match]
MACAddress={mac}

[Network]
Address={address}/{prefix}
{gateway}{dns}
"""


def preseed(host: Host, dc: str, disk: Path) -> list[str]:
    """Write the installed state of `host` onto `disk` and return its public host keys as openssh lines."""
    etc = disk / "upper/etc"
    (etc / "ssh").mkdir(parents=True, exist_ok=True)
    (etc / "systemd/network").mkdir(parents=True, exist_ok=True)
    (etc / "hostname").write_text(host.name + "\n")
    (etc / "hosts").write_text(f"127.0.0.1 localhost\n{host.address} {host.name}\n")
    (etc / "systemd/network/10-bmk.network").write_text(_network(host))
    (etc / "resolv.conf").write_text("".join(f"nameserver {d}\n" for d in host.network.dns))
    key = etc / "ssh/ssh_host_ed25519_key"
    if not key.exists():
        _keygen(key, host.name)
    authorized = disk / "upper/root/.ssh/authorized_keys"
    authorized.parent.mkdir(parents=True, exist_ok=True)
    for directory in (authorized.parent, authorized.parent.parent):
        directory.chmod(0o700)
    authorized.write_text(deployer_key(dc).with_suffix(".pub").read_text())
    (disk / "installed").touch()
    return [" ".join(key.with_suffix(".pub").read_text().split()[:2])]


def _network(host: Host) -> str:
    spec = host.network
    return _NETWORK.format(
        mac=host.mac,
        address=host.address,
        prefix=spec.cidr.prefixlen,
        gateway=f"Gateway={spec.gateway}\n" if spec.gateway else "",
        dns="".join(f"DNS={d}\n" for d in spec.dns),
    )


def deployer_key(dc: str) -> Path:
    """The deployer's private key, made on first use."""
    key = state_dir(dc) / "ssh" / "id_ed25519"
    if not key.exists():
        key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _keygen(key, f"bmk {dc}")
    return key


def _keygen(path: Path, comment: str) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)], check=True)
