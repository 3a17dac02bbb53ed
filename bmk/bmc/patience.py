"""Limited retries with growing pauses, and waiting until a write can be read back. No call to a BMC lasts for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from bmk.bmc.access import Access
from bmk.errors import BmcError

T = TypeVar("T")


class Busy(Exception):
    """The BMC says it cannot answer now (503, node busy, no answer). `str()` is the reason in words."""


def persist(access: Access, what: str, operation: Callable[[], T]) -> T:
    """Run `operation`, again while it raises Busy, for at most `timing.patience` seconds. Each wait is an event."""
    timing, started = access.timing, access.clock()
    pause, tries = timing.first_pause, 0
    while True:
        tries += 1
        try:
            result = operation()
        except Busy as busy:
            if access.clock() - started + pause > timing.patience:
                raise _gave_up(access, what, busy, tries, access.clock() - started) from None
            text = f"BMC cannot {what}: {busy}; trying again in {pause:.0f} s"
            access.tell("bmc.retry", text, "warning", tries=tries)
            access.sleep(pause)
            pause = min(pause * 2, timing.longest_pause)
            continue
        if tries > 1:
            seconds = access.clock() - started
            access.tell("bmc.recovered", f"BMC answered after {seconds:.0f} s and {tries} tries", tries=tries)
        return result


def settle(access: Access, read: Callable[[], T], wanted: Callable[[T], bool]) -> tuple[bool, T]:
    """Read until `wanted` or until `timing.settle` has passed. Returns whether it came true, and the last reading."""
    deadline = access.clock() + access.timing.settle
    while True:
        value = read()
        if wanted(value):
            return True, value
        if access.clock() >= deadline:
            return False, value
        access.sleep(access.timing.poll)


def _gave_up(access: Access, what: str, busy: Busy, tries: int, seconds: float) -> BmcError:
    text = f"the BMC did not {what} in {seconds:.0f} s ({tries} tries)"
    access.tell("bmc.failed", f"{text}: {busy}", "error", tries=tries)
    return BmcError(
        text,
        where=access.address,
        why=str(busy),
        hint="check that the BMC answers (ping, its web page), reset it when it hangs, then run the same command again",
    )
