"""Keys that hosts of a cluster share. Made once, kept in the state directory, and given to hosts over ssh alone.

Nothing prints them: the inventory names the file, and the role reads it while it renders.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from bmk.datacenter.resolve import DataCenter
from bmk.paths import private_dir

_HARD = {"n": 1 << 12, "r": 8, "p": 1}  # a few milliseconds here, centuries for whoever tries every key


def vip_key_file(state: Path, cluster: str) -> Path:
    """Where the key is that control planes sign with what they say of the VIP: eight characters, keepalived's most."""
    return state / "vip" / f"{cluster}.key"


def vip_keys(dc: DataCenter, state: Path) -> Mapping[str, str]:
    """A mark of each cluster's key, which says whether it is the same and no more; a missing key is made."""
    named = [name for name, cluster in dc.spec.clusters.items() if cluster.endpoint.vip]
    return {name: _mark(_kept(vip_key_file(state, name)), name) for name in named}


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
