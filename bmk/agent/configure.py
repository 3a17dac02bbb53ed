"""What makes a copy of the image this one host. Pure, but for `write_files` and `make_keys`."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bmk.agent.errors import AgentError
from bmk.agent.model import HostNetwork, HostNic, InstallSpec
from bmk.agent.programs import run

KEY_TYPES = ("ed25519", "ecdsa")


@dataclass(frozen=True, slots=True)
class HostFile:
    text: str
    mode: int = 0o644


def host_files(
    spec: InstallSpec, *, machine_id: str | None = None, match: str = "PermanentMACAddress"
) -> dict[str, HostFile]:
    """Path below the root -> file. `match`: MACAddress where NICs have no permanent one, as in containers."""
    network = spec.network
    files = {
        "etc/hostname": HostFile(f"{spec.hostname}\n"),
        "etc/hosts": HostFile(
            f"127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{network.address} {spec.hostname}\n"
        ),
        "etc/machine-id": HostFile(f"{machine_id or uuid.uuid4().hex}\n", 0o444),
        "etc/resolv.conf": HostFile("".join(f"nameserver {server}\n" for server in network.dns)),
        "root/.ssh/authorized_keys": HostFile("".join(f"{key}\n" for key in spec.authorized_keys), 0o600),
    }
    if network.ntp:
        files["etc/systemd/timesyncd.conf.d/10-bmk.conf"] = HostFile(f"[Time]\nNTP={' '.join(network.ntp)}\n")
    for number, nic in enumerate(network.nics):
        base = f"etc/systemd/network/10-{nic.name}"
        files[f"{base}.link"] = HostFile(_link(nic, network, match))
        files[f"{base}.network"] = HostFile(_network(nic, network, match, first=number == 0))
    return files


def _link(nic: HostNic, network: HostNetwork, match: str) -> str:
    """Kernel and firmware names move between boots and versions; these do not."""
    return f"[Match]\n{match}={nic.mac}\n\n[Link]\nName={nic.name}\nMTUBytes={network.mtu}\n"


def _network(nic: HostNic, network: HostNetwork, match: str, *, first: bool) -> str:
    lines = ["[Match]", f"{match}={nic.mac}", "", "[Network]"]
    if first:
        lines += [f"Address={network.address}/{network.prefix}"]
        lines += [f"Gateway={network.gateway}"] if network.gateway else []
        lines += [f"DNS={server}" for server in network.dns] + [f"NTP={server}" for server in network.ntp]
    lines += ["DHCP=no", "IPv6AcceptRA=no", "", "[Link]", f"MTUBytes={network.mtu}"]
    lines += [] if first else ["RequiredForOnline=no"]
    return "\n".join(lines) + "\n"


def write_files(root: Path, files: Mapping[str, HostFile]) -> None:
    """Write below `root`, replacing links instead of following them out of it."""
    for name, file in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(file.text)
        path.chmod(file.mode)
    for directory in ("root", "root/.ssh"):
        (root / directory).chmod(0o700)


def make_keys(root: Path, hostname: str, keygen: Sequence[str], below: str) -> list[str]:
    """Make ssh host keys, return the public lines. `keygen`: the command; `below`: the root as that command sees it."""
    lines = []
    (root / "etc/ssh").mkdir(parents=True, exist_ok=True)
    for kind in KEY_TYPES:
        name = f"etc/ssh/ssh_host_{kind}_key"
        for old in (root / name, root / f"{name}.pub"):
            old.unlink(missing_ok=True)
        done = run(*keygen, "-q", "-t", kind, "-N", "", "-C", hostname, "-f", f"{below}/{name}")
        if done.code != 0:
            raise AgentError("ssh host keys cannot be made", why=done.reason)
        lines.append((root / f"{name}.pub").read_text().strip())
    return lines
