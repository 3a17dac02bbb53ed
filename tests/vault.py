"""Keys of secrets at rest of one control plane in memory: its file, and what its API server has read of it."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from bmk.encryption.keys import Key, KeyText, PlaneKeys
from bmk.journal import Journal
from bmk.journal.records import KeyRotationOrder
from bmk.secrets import Secret

Stored = tuple[str, str]  # name of a key, and the key


@dataclass
class Vault:
    """`read`: by the API server when it began; `noted`: since when the file is as it is, for all that is known."""

    file: tuple[Stored, ...] = ()
    read: tuple[Stored, ...] = ()
    noted: float | None = None
    accepted: str = ""

    def begin(self, others: Sequence[Vault]) -> None:
        """As init and join do it."""
        self.file = self.read = next((v.file for v in others if v.file), (("key1", secrets.token_hex(8)),))

    def begins_anew(self) -> None:
        """The API server, whoever ended it."""
        self.read = self.file

    def seen(self, host: str, began: float, *, up: bool) -> PlaneKeys:
        loaded = up and self.noted is not None and began > self.noted
        keys = tuple(Key(name, digest(key)) for name, key in self.file)
        return PlaneKeys(host, keys, digest(json.dumps(self.file)), loaded=loaded, ready=up)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def text(vaults: Sequence[Vault], names: Sequence[str], fresh: str) -> KeyText:
    """As the real service makes it."""
    known = {name: key for vault in vaults for name, key in vault.file}
    if fresh:
        known.setdefault(fresh, secrets.token_hex(8))
    body = json.dumps([(name, known[name]) for name in names])
    return KeyText(Secret(body), digest(body))


def of_text(body: str) -> tuple[Stored, ...]:
    return tuple((name, key) for name, key in json.loads(body))


def known(journal: Journal, cluster: str, found: KeyText) -> bool:
    """Whether it is on record that this may be on a host."""
    order = KeyRotationOrder.load(journal, cluster)
    return order is not None and digest(found.text.reveal()) in order.texts
