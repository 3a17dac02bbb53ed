"""Power, boot order, identity and console of machines through their BMCs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bmk.bmc.access import Access, Machine, Timeouts, Trust
from bmk.bmc.ipmi import IpmiBmc
from bmk.bmc.logins import Logins
from bmk.bmc.protocol import Bmc, Identity, Inventory, InventoryDisk, LogEntry
from bmk.bmc.redfish import RedfishBmc
from bmk.errors import ConfigError

__all__ = [
    "Access",
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
        bmc.disconnect()


def open_bmc(kind: str, access: Access) -> Bmc:
    """The BMC of a kind, not yet contacted. Its events have no host: `access.notify` adds that."""
    if kind not in KINDS:
        raise ConfigError(f"no BMC kind {kind!r}", where=access.address, hint=f"use one of: {', '.join(KINDS)}")
    return KINDS[kind](access)
