"""The permission to install one host once. Without an open grant nothing is ever installed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["spent", "failed", "expired", "revoked"]


@dataclass(frozen=True, slots=True)
class Grant:
    """One host, one attempt, one disk, one image. `opened`, `expires`, `claimed`, `ended`: seconds since the epoch.

    A grant is open until `expires`, or until it ended. The first claim takes it; a second machine, or the same one after a
    reset, gets nothing. `disk` is a DiskSelector as a dict; `confirmed` names the disk serial whose foreign data a person
    agreed to lose.
    """

    id: str
    host: str
    attempt: int
    macs: tuple[str, ...]
    uuid: str | None
    serial: str
    disk: dict[str, str | bool | None]
    confirmed: str | None
    image: str  # name of the image artifact
    image_sha256: str  # of the compressed bytes
    opened: float
    expires: float
    claimed: float | None = None
    ended: float | None = None
    outcome: Outcome | None = None

    def open_at(self, now: float) -> bool:
        return self.ended is None and now < self.expires
