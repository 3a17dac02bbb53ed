"""How to reach one BMC: address, credentials, patience, and whom to tell what happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bmk.journal.events import Event, Level
from bmk.secrets import Credentials

Notify = Callable[[Event], object]


def nobody(event: Event) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. A BMC that reboots itself is silent for one to three minutes, so `patience` outlives that.

    `request`: one request; `connect`: until TCP answers; `patience`: all tries of one call together; `first_pause`
    doubles up to `longest_pause` between tries; `settle`: until a power change or an override must be visible.
    """

    connect: float = 10.0
    request: float = 30.0
    patience: float = 180.0
    first_pause: float = 1.0
    longest_pause: float = 15.0
    settle: float = 90.0
    poll: float = 1.0


@dataclass(frozen=True, slots=True)
class Access:
    """One BMC. Safe to print: the password masks itself."""

    address: str
    port: int | None
    credentials: Credentials
    verify_tls: bool = True
    notify: Notify = field(default=nobody, repr=False)
    timing: Timing = Timing()
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)

    def tell(self, kind: str, text: str, level: Level = "info", **data: object) -> None:
        """Send one event; the caller of bmk.bmc adds host, phase and run."""
        self.notify(Event("bmc", kind, text, level=level, data={"bmc": self.address, **data}))
