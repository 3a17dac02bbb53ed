"""Power, boot order, identity and console of machines through their BMCs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bmk.bmc.access import Access, Machine, Notify, Timeouts, Trust, nobody
from bmk.bmc.ipmi import IpmiBmc
from bmk.bmc.logins import Logins
from bmk.bmc.protocol import Bmc, Identity, Inventory, InventoryDisk, LogEntry
from bmk.bmc.redfish import RedfishBmc
from bmk.errors import ConfigError
from bmk.secrets import Credentials, Secret

__all__ = [
    "Bmc",
    "Identity",
    "Inventory",
    "InventoryDisk",
    "LogEntry",
    "Logins",
    "Machine",
    "Timeouts",
    "Trust",
    "conversation",
    "open_bmc",
]

# A new kind of BMC is one new module and one new line here.
KINDS: dict[str, Callable[[Access], Bmc]] = {
    "redfish": RedfishBmc,
    "ipmi": IpmiBmc,
}


@contextmanager
def conversation(bmc: Bmc) -> Iterator[Bmc]:
    """Hang up afterwards: BMCs have few connections and sessions."""
    try:
        yield bmc
    finally:
        bmc.hang_up()


def open_bmc(  # noqa: PLR0913 - what it takes to reach a BMC, by name
    kind: str,
    address: str,
    port: int | None,
    credentials: Credentials | tuple[str, str],
    trust: Trust = Trust(),  # noqa: B008 - frozen
    *,
    notify: Notify = nobody,
    timing: Timeouts = Timeouts(),  # noqa: B008 - frozen
    machine: Machine = Machine(),  # noqa: B008
    logins: Logins | None = None,
) -> Bmc:
    """The BMC of a kind, not yet contacted. `notify` gets an Event for each write and retry; its host is left None.

    `machine` says which one is meant where a BMC has several behind it.
    `logins` remembers refused passwords: give the same to all conversations of a run.
    """
    if kind not in KINDS:
        raise ConfigError(f"no BMC kind {kind!r}", where=address, hint=f"use one of: {', '.join(KINDS)}")
    if not isinstance(credentials, Credentials):
        credentials = Credentials(credentials[0], Secret(credentials[1]))
    return KINDS[kind](Access(str(address), port, credentials, trust, machine, notify, timing, logins or Logins()))
