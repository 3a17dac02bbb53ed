"""Power orders, the same for every kind of BMC: each is complete when the new state was read back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Literal

from bmk.bmc.access import Access
from bmk.bmc.protocol import Power, PowerAction
from bmk.bmc.retry import bmc_errors_only, read_back_error, settle
from bmk.errors import BmcError, BmcIgnores, BmcRefuses

Order = Literal["on", "off", "shutdown"]

# Not the BMC's own restart order: it could not be read back, the machine is on before and after.
ORDERS: dict[PowerAction, tuple[Order, ...]] = {
    "on": ("on",),
    "off": ("off",),
    "cycle": ("off", "on"),
    "shutdown": ("shutdown",),
    "restart": ("shutdown", "on"),
    "ask-off": ("shutdown",),
}


@bmc_errors_only
class PowerOrders(ABC):
    """The part of a BMC's class that changes power."""

    _access: Access

    @abstractmethod
    def power(self) -> Power: ...

    @abstractmethod
    def _read_power(self) -> Power | None:
        """The power state now; None while it changes."""

    @abstractmethod
    def _order(self, order: Order) -> bool:
        """Send the order once; False when the machine is in that state already. `shutdown` asks its system."""

    def set_power(self, action: PowerAction) -> None:
        for order in ORDERS[action]:
            if order == "shutdown":
                self._shut_down(cut=action != "ask-off")
            else:
                self._switch(order)

    def _switch(self, power: Power) -> None:
        if not self._order(power):
            self._access.tell("bmc.power", f"power is {power} already", power=power)
            return
        came_true, seen = settle(self._access, self.power, lambda seen: seen == power)
        if not came_true:
            raise read_back_error(
                self._access,
                f"the BMC accepted power {power} and still reports {seen}",
                why=f"read back for {self._access.timing.settle:.0f} s; some BMCs report a stale power state",
                hint="look at the console; restart the BMC (not the machine), then run the same command again",
            )
        self._access.tell("bmc.power", f"power {power}, read back", power=power)

    def _shut_down(self, *, cut: bool) -> None:
        """Ask the operating system to shut down. When it does not in time, or cannot be asked: `cut` the power, or
        raise BmcIgnores.
        """
        seconds = self._access.timing.shutdown
        try:
            if not self._order("shutdown"):
                self._access.tell("bmc.power", "power is off already", power="off")
                return
            patient = replace(self._access, timing=replace(self._access.timing, settle=seconds))
            came_true, _ = settle(patient, self._read_power, lambda seen: seen == "off")
            why = f"the system did not shut down in {seconds:.0f} s"
        except BmcRefuses:
            raise
        except BmcError as error:
            came_true, why = False, f"the system could not be asked to shut down: {error.what} ({error.why})"
        if came_true:
            self._access.tell("bmc.power", "shut down, power off, read back", power="off")
            return
        if not cut:
            raise BmcIgnores(
                "the machine did not shut down, and its power was not cut",
                where=self._access.address,
                why=why,
                hint="look at its console for what it waits for",
            )
        self._access.tell("bmc.forced", f"{why}; switching it off", "warning")
        self._switch("off")
