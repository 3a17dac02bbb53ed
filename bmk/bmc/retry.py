"""Limited retries with growing pauses, and waiting until a write can be read back. No call to a BMC lasts for ever."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from bmk.bmc.access import Access
from bmk.errors import ODD, BmcError, BmcRefuses

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


def read_back_error(access: Access, what: str, why: str, hint: str, kind: type[BmcError] = BmcError) -> BmcError:
    """The error of a BMC that said yes and did not do it, as reading back has shown; it is told as an event, too."""
    access.tell("bmc.lie", what, "error")
    return kind(what, where=access.address, why=why, hint=hint)


def raise_if_refused(access: Access) -> None:
    """Raise BmcRefuses for a user and password that this BMC refused before: it is not asked again."""
    if access.logins.refused(access.address, access.credentials):
        raise _refuses(access, "it refused them before in this run, and was not asked again")


def login_error(access: Access, why: str) -> Exception:
    """A BMC refused user and password: BmcRefuses; Busy, a few times, when it took the same before."""
    if access.logins.refuse(access.address, access.credentials):
        return _refuses(access, why)
    return Busy("it refuses a password that it took before; it may be starting")


def _refuses(access: Access, why: str) -> BmcRefuses:
    password = access.credentials.password.reveal()
    return BmcRefuses(
        "the BMC refuses this username and password",
        where=access.address,
        why=why.replace(password, "********") if password else why,
        hint="correct the secret of this host's BMC; some BMCs lock the account for minutes after wrong passwords",
    )


def bmc_errors_only(kind: type[T]) -> type[T]:
    """A class of BMCs whose public methods raise BmcError whatever an answer holds: one odd answer is one host's."""
    for name, method in list(vars(kind).items()):
        if callable(method) and not name.startswith("_"):
            setattr(kind, name, _bmc_errors_only(method))
    return kind


def _bmc_errors_only(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(self: Any, *args: Any, **named: Any) -> Any:
        try:
            return method(self, *args, **named)
        except ODD as error:
            raise _not_understood(self._access, error) from error

    return call


def _not_understood(access: Access, error: Exception) -> BmcError:
    why = f"{type(error).__name__}: {error}"[:200]
    access.tell("bmc.odd", f"the BMC's answer cannot be understood: {why}", "error")
    return BmcError(
        "the BMC's answer cannot be understood",
        where=access.address,
        why=why,
        hint="restart the BMC, or update its firmware; report it with its manufacturer and model when it stays",
    )


def _gave_up(access: Access, what: str, busy: Busy, tries: int, seconds: float) -> BmcError:
    text = f"the BMC did not {what} in {seconds:.0f} s ({tries} tries)"
    access.tell("bmc.failed", f"{text}: {busy}", "error", tries=tries)
    return BmcError(
        text,
        where=access.address,
        why=str(busy),
        hint="check that the BMC answers (ping, its web page), reset it when it hangs, then run the same command again",
    )
