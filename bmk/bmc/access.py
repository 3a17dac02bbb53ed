"""How to reach one BMC: address, credentials, whom to believe, patience, and whom to tell what happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bmk.bmc.logins import Logins
from bmk.journal.events import Event, Level
from bmk.secrets import Credentials

Notify = Callable[[Event], object]


def nobody(event: Event) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. A BMC that reboots itself is silent for one to three minutes, so `patience` outlives that.

    `request`: one exchange, from the connection to the last byte, however slowly it drips; `connect`: until TCP
    answers; `patience`: all tries of one call together; `call`: one call with all its exchanges, however many;
    `first_pause` doubles up to `longest_pause` between tries; `settle`: until a power change or an override must be
    visible; `shutdown`: until a system that was asked to shut down must have done so.
    """

    connect: float = 10.0
    request: float = 30.0
    patience: float = 180.0
    call: float = 600.0
    first_pause: float = 1.0
    longest_pause: float = 15.0
    settle: float = 90.0
    shutdown: float = 300.0
    poll: float = 1.0


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose TLS certificate is believed to be the BMC's: the one with this SHA-256 fingerprint, else one that the
    authorities in a PEM file signed, else one of an authority that this machine trusts.
    """

    fingerprint: str | None = None
    authorities: Path | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """What is known of the machine: which of those behind one BMC it is (the one with this id, else with this serial or
    UUID), and how far one has to look for its MACs.
    """

    serial: str | None = None
    uuid: str | None = None
    system: str | None = None
    macs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Access:
    """One BMC. Safe to print: the password masks itself.

    `machine` says which one is meant where a BMC has several behind it. `notify` gets an Event for each write and
    retry. `logins` remembers refused passwords: give the same to all conversations of a run.
    """

    address: str
    port: int | None
    credentials: Credentials
    trust: Trust = Trust()
    machine: Machine = Machine()
    notify: Notify = field(default=nobody, repr=False)
    timing: Timeouts = Timeouts()
    logins: Logins = field(default_factory=Logins, repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)

    def tell(self, kind: str, text: str, level: Level = "info", **data: object) -> None:
        """Send one event; the caller of bmk.bmc adds host, phase and run."""
        self.notify(Event("bmc", kind, text, level=level, data={"bmc": self.address, **data}))
