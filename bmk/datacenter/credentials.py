"""Keys that bmk makes and uses: how it logs in to hosts, and the keys that hosts of a cluster share."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bmk.datacenter.resolve import DataCenter, Host
from bmk.hardening.addons import HOST
from bmk.paths import private_dir

_DISCARD = 9  # any port: nothing is sent


def _ssh_options(known_hosts: Path | str) -> dict[str, str]:
    """Only our key and our pins, for OpenSSH, whoever starts it. A path with spaces is quoted for its own parser."""
    return {
        "UserKnownHostsFile": _quoted(known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "IdentitiesOnly": "yes",
        "ForwardAgent": "no",
    }


def _quoted(path: Path | str) -> str:
    return f'"{path}"' if " " in str(path) else str(path)


def ssh_flags(known_hosts: Path | str) -> list[str]:
    """Arguments of ssh for `bmk ssh` and Ansible.

    Without `-F none` the user's and the machine's own configuration could forward an agent, run a command as proxy or
    name other keys.
    """
    return ["-F", "none", *(part for option in _ssh_options(known_hosts).items() for part in ("-o", "=".join(option)))]


def ssh_settings(identity: Path, known_hosts: Path) -> list[str]:
    """The same as lines of a configuration file, with the private key, for what cannot pass arguments to ssh."""
    options = {"IdentityFile": _quoted(identity), **_ssh_options(known_hosts)}
    return [f"{name} {value}" for name, value in options.items()]


def login_sources(dc: DataCenter, host: Host) -> tuple[str, ...]:
    """Addresses and networks from which the deployer's key may log in: the deployer's own, those that dc.yml adds, and
    the local address of this machine's route to the host, which may be another.
    """
    named = [str(dc.spec.deployer.address), *map(str, dc.spec.deployer.ssh_from)]
    return tuple(dict.fromkeys([*named, *_own_address(str(host.address))]))


def login_line(public: str, sources: Sequence[str]) -> str:
    """A line of authorized_keys: `public` opens root from `sources` only."""
    return f'from="{",".join(sources)}" {public}'


def _own_address(towards: str) -> list[str]:
    """This machine's source address for packets to an address; empty when there is no route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((towards, _DISCARD))
        except OSError:
            return []
        return [str(probe.getsockname()[0])]


_HARD = {"n": 1 << 12, "r": 8, "p": 1}  # of scrypt: a few milliseconds per key


def vip_key_file(state: Path, cluster: str) -> Path:
    """File of the key that authenticates VRRP between control planes of a cluster: keepalived's limit, 8 characters."""
    return state / "vip" / f"{cluster}.key"


def vip_keys(dc: DataCenter, state: Path) -> Mapping[str, str]:
    """A slow hash of each cluster's VIP key, so that a change is seen and the key is not; a missing key is made."""
    named = [name for name, cluster in dc.spec.clusters.items() if cluster.endpoint.vip]
    keys = {name: _kept(vip_key_file(state, name)) for name in named}
    return {n: hashlib.scrypt(k.encode(), salt=n.encode(), dklen=8, **_HARD).hex() for n, k in keys.items()}


@dataclass(frozen=True, slots=True)
class MetricsPair:
    """A certificate (PEM), and the data of the Secret that holds it with its key."""

    certificate: str
    data: Mapping[str, str] = field(repr=False)


def metrics_pair(state: Path, cluster: str) -> MetricsPair:
    """The certificate and key by which API servers trust a cluster's metrics-server; made when it is missing."""
    from bmk.secrets.certificate import certificate_for, self_signed  # noqa: PLC0415 - a tenth of `bmk validate`

    path = state / "metrics" / f"{cluster}.pem"
    if not certificate_for(path, HOST):
        self_signed(path, "bmk metrics-server", [HOST])
    found, key = certificate_for(path, HOST), path.read_text().partition("-----BEGIN CERTIFICATE")[0]
    parts = {"tls.crt": found, "tls.key": key}
    return MetricsPair(found, {name: base64.b64encode(text.encode()).decode() for name, text in parts.items()})


def _kept(path: Path) -> str:
    private_dir(path.parent)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(6))
    except FileExistsError:
        pass
    return path.read_text()
