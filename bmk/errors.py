"""Every error a user can meet, and the one table of exit codes.

BmkError                     1   failed for a reason not listed
├── ConfigError              3   the data center file, the lock or a flag's value is wrong
├── SomeHostsFailed          4   the others are done
├── Unreachable              5   a machine, BMC or API does not answer
│   └── BmcError             5   a BMC refuses, lies or is silent
│       ├── BmcIgnores       5   it said yes, was asked twice and does not do it: no patience helps
│       └── BmcRefuses       5   it refuses our user: asking again would lock the account
├── PreflightRefused         6   doing it would be unsafe, or this machine cannot
│   ├── DigestMismatch       6   bytes are not those that the lock names
│   └── BackupRefused        6   a backup is not whole, not this cluster's, or does not restore
├── LockHeld                 7   somebody else is at work on this data center
├── Revoked                  1   what asked for it was cancelled: nothing was sent any more
├── Declined                 8   a person (or a missing --yes/--confirm) said no
└── PhaseFailed              1   one host, one phase; the run goes on with the others
    └── DeadlinePassed       1   it did not happen in time: likely cause and next command
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import ClassVar

# What reading a foreign document raises that is not as it should be. Never OSError: that is this machine's trouble.
ODD = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError)


class Exit(IntEnum):
    """Process exit codes. The docstring of a member is what `bmk help exit-codes` prints."""

    OK = 0
    FAILED = 1
    PENDING = 2
    CONFIG = 3
    SOME_HOSTS = 4
    UNREACHABLE = 5
    REFUSED = 6
    LOCKED = 7
    DECLINED = 8
    USAGE = 64
    BUG = 70
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        return _MEANINGS[self]


_MEANINGS = {
    Exit.OK: "ok; nothing pending",
    Exit.FAILED: "failed for a reason not listed here",
    Exit.PENDING: "drift or pending changes (plan, drift, hardening)",
    Exit.CONFIG: "invalid configuration",
    Exit.SOME_HOSTS: "some hosts failed and the rest are done",
    Exit.UNREACHABLE: "hosts, BMCs or the API did not answer",
    Exit.REFUSED: "preflight refused: nothing was changed",
    Exit.LOCKED: "another run holds the lock",
    Exit.DECLINED: "declined, or not confirmed",
    Exit.USAGE: "wrong usage of the command line",
    Exit.BUG: "a bug in bmk",
    Exit.INTERRUPTED: "interrupted; the journal is saved, the same command continues",
}


class BmkError(Exception):
    """What happened, where, why, and what to type next.

    `what` is one sentence without a full stop. `where` is `file:line:col`, a host, a phase or a URL.
    `hint` is the next command or edit. `retryable` says that the same call may succeed later.
    """

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[Exit] = Exit.FAILED
    retryable: ClassVar[bool] = False

    def __init__(self, what: str, *, where: str = "", why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.why, self.hint = what, where, why, hint

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        parts = [f"  {k}: {v}" for k, v in (("why", self.why), ("next", self.hint)) if v]
        # Further lines are marked: a machine chooses some of them, and could write a `next:` of its own.
        return "\n".join([head, *(part.replace("\n", "\n     | ") for part in parts)])

    def as_data(self) -> dict[str, str]:
        """To cross to another process as JSON; see `raised`."""
        return {
            "kind": type(self).__name__,
            "error": self.what,
            "where": self.where,
            "why": self.why,
            "hint": self.hint,
        }


class ConfigError(BmkError):
    """The data center file, the lock or a flag's value is wrong."""

    code, exit_code = "config", Exit.CONFIG


class SomeHostsFailed(BmkError):
    """Some hosts failed; the rest are done."""

    code, exit_code = "some-hosts", Exit.SOME_HOSTS


class Unreachable(BmkError):
    """A machine, BMC or API does not answer."""

    code, exit_code, retryable = "unreachable", Exit.UNREACHABLE, True


class BmcError(Unreachable):
    """A BMC refuses, lies or is silent."""

    code = "bmc"


class BmcIgnores(BmcError):
    """A BMC said yes and does not do it, or has no such thing: asking for minutes would not change it."""

    code, retryable = "bmc-ignores", False


class BmcRefuses(BmcError):
    """A BMC refuses our user name and password, or what this user may do: asking again would lock the account."""

    code, retryable = "bmc-refuses", False


class PreflightRefused(BmkError):
    """Doing it would be unsafe, or this machine cannot do it. Nothing was changed."""

    code, exit_code = "refused", Exit.REFUSED


class DigestMismatch(PreflightRefused):
    """Bytes are not those that the lock names."""

    code = "digest"


class BackupRefused(PreflightRefused):
    """A backup does not count. `reason` is one of `bmk.journal.backup_causes.REASONS`."""

    code = "backup"

    def __init__(self, what: str, *, reason: str = "", where: str = "", why: str = "", hint: str = "") -> None:
        super().__init__(what, where=where, why=why, hint=hint)
        self.reason = reason


class LockHeld(BmkError):
    """Somebody else is at work on this data center."""

    code, exit_code = "locked", Exit.LOCKED


class Revoked(BmkError):
    """What asked for a change was cancelled, or its run is over; nothing was sent."""

    code = "revoked"


class Declined(BmkError):
    """A person said no, or --yes/--confirm is missing where nobody can be asked."""

    code, exit_code = "declined", Exit.DECLINED


class PhaseFailed(BmkError):
    """One phase of one host failed; the run goes on with the others."""

    code = "phase"


class DeadlinePassed(PhaseFailed):
    """A phase did not end in time."""

    code = "deadline"


def raised(data: Mapping[str, str]) -> BmkError:
    """The error that `as_data` told of. Its class decides the exit code; one that is not known here is a BmkError."""
    kind = globals().get(data.get("kind", ""))
    known = kind if isinstance(kind, type) and issubclass(kind, BmkError) else BmkError
    return known(data["error"], **{key: data.get(key, "") for key in ("where", "why", "hint")})
