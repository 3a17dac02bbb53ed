"""How bmk logs in to hosts: from where the deployer's key opens root, and what OpenSSH is told, whoever starts it."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

from bmk.datacenter.resolve import DataCenter, Host

_DISCARD = 9  # any port: nothing is sent


def ssh_flags(known_hosts: Path | str) -> list[str]:
    """Only our key and our pins: the user's and the machine's own configuration could forward an agent, run a command
    as proxy or name other keys. A path with spaces is quoted for ssh's own parser.
    """
    path = f'"{known_hosts}"' if " " in str(known_hosts) else str(known_hosts)
    options = [
        f"UserKnownHostsFile={path}",
        "GlobalKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=yes",
        "UpdateHostKeys=no",
        "IdentitiesOnly=yes",
        "ForwardAgent=no",
    ]
    return ["-F", "none", *(part for option in options for part in ("-o", option))]


def login_sources(dc: DataCenter, host: Host) -> tuple[str, ...]:
    """Addresses and networks: the deployer's own, those that dc.yml adds, and the one by which this machine reaches
    the host, which on a machine with several addresses may be another.
    """
    named = [str(dc.spec.deployer.address), *map(str, dc.spec.deployer.ssh_from)]
    return tuple(dict.fromkeys([*named, *_own_address(str(host.address))]))


def login_line(public: str, sources: Sequence[str]) -> str:
    """A line of authorized_keys."""
    return f'from="{",".join(sources)}" {public}'


def _own_address(towards: str) -> list[str]:
    """By the kernel's routes; none when there is no way."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((towards, _DISCARD))
        except OSError:
            return []
        return [str(probe.getsockname()[0])]
