"""Keys that hosts of a cluster share. Made once, kept in the state directory, and given to hosts over ssh alone.

Nothing prints them: the inventory names the file, and the role reads it while it renders.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bmk.datacenter.resolve import DataCenter
from bmk.hardening.addons import HOST
from bmk.paths import private_dir

_HARD = {"n": 1 << 12, "r": 8, "p": 1}  # a few milliseconds here, centuries for whoever tries every key


def vip_key_file(state: Path, cluster: str) -> Path:
    """Where the key is that control planes sign with what they say of the VIP: eight characters, keepalived's most."""
    return state / "vip" / f"{cluster}.key"


def vip_keys(dc: DataCenter, state: Path) -> Mapping[str, str]:
    """A mark of each cluster's key, which says whether it is the same and no more; a missing key is made."""
    named = [name for name, cluster in dc.spec.clusters.items() if cluster.endpoint.vip]
    return {name: _mark(_kept(vip_key_file(state, name)), name) for name in named}


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate (PEM), and the data of the Secret that holds it with its key."""

    certificate: str
    data: Mapping[str, str] = field(repr=False)


def metrics_pair(state: Path, cluster: str) -> Pair:
    """What a cluster's metrics-server shows to API servers; made when it is missing."""
    from bmk.secrets.certificate import certificate_for, self_signed  # noqa: PLC0415 - a tenth of `bmk validate`

    path = state / "metrics" / f"{cluster}.pem"
    if not certificate_for(path, HOST):
        self_signed(path, "bmk metrics-server", [HOST])
    found, key = certificate_for(path, HOST), path.read_text().partition("-----BEGIN CERTIFICATE")[0]
    parts = {"tls.crt": found, "tls.key": key}
    return Pair(found, {name: base64.b64encode(text.encode()).decode() for name, text in parts.items()})


def _kept(path: Path) -> str:
    private_dir(path.parent)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(6))
    except FileExistsError:
        pass
    return path.read_text()


def _mark(key: str, cluster: str) -> str:
    return hashlib.scrypt(key.encode(), salt=cluster.encode(), dklen=8, **_HARD).hex()
