"""One run per data center: a lease in the journal says who, a lock that dies with its process says that they live.

The kernel (a file beside the SQLite journal) or the database server (a session of PostgreSQL) drops that lock when the
process dies, also by kill -9, so the same command can continue at once on the same machine. A lease of another machine
counts until it expires: its process may live on without a connection.

Each lock has a fencing number, one higher than that of the lock before. Whoever holds a lock with a lower number than
the journal's has lost it: `RunLock.check` compares them before a call that must not be made by two runs.
"""

from __future__ import annotations

import getpass
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from bmk.errors import BmkError, LockHeld
from bmk.journal import Event, Journal
from bmk.journal.database import Hold, JournalUnavailable
from bmk.journal.quoted import plain

LEASE = 60.0  # seconds; renewed every third of it


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has the lock. `taken` and `expires` in seconds since the epoch; `fence` is the number of the lock."""

    owner: str
    run: str | None
    taken: float
    expires: float
    fence: int = 0

    @property
    def machine(self) -> str:
        """`user@machine pid 12` -> `machine`."""
        return self.owner.partition("@")[2].partition(" ")[0]

    @property
    def pid(self) -> int:
        """`user@machine pid 12` -> 12; 0, which always lives, when it is not there."""
        last = self.owner.rpartition(" ")[2]
        return int(last) if last.isdigit() else 0


def this_owner() -> str:
    """`user@machine pid 12`."""
    return f"{getpass.getuser()}@{socket.gethostname()} pid {os.getpid()}"


def this_person() -> str:
    """`user@machine`: who typed the command, also by way of sudo."""
    return plain(f"{os.environ.get('SUDO_USER') or getpass.getuser()}@{socket.gethostname()}", 100)


class RunLock:
    """Context manager: exclusive work on one data center. Raises LockHeld (exit 7) with who, since when, until when.

    `fence` is the number of this lock, larger than that of every lock before it. A lock that another run took, or that
    could not be renewed until its lease ended, is lost for good: `lost` is the reason, `on_lost` is called once with it
    from the thread that renews, and `check` raises it.
    """

    def __init__(
        self, journal: Journal, run: str, lease: float = LEASE, on_lost: Callable[[LockHeld], object] | None = None
    ) -> None:
        self._journal, self._run, self._lease = journal, run, lease
        self.on_lost = on_lost
        self._owner = this_owner()
        self.lost: LockHeld | None = None
        self._stop = threading.Event()
        self._hold: Hold | None = None
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self.fence = 0

    def __enter__(self) -> RunLock:
        self._hold = self._journal.hold("run")
        if self._hold is None:
            raise _held(holder(self._journal))
        try:
            self.fence = self._take()
        except BaseException:
            self._hold.release()
            raise
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self._stop.set()
        self._thread.join()
        # The result of the run counts more than a failure here: the lease ends by itself.
        with suppress(Exception), self._journal.transaction() as db:
            db.execute("UPDATE leases SET expires = 0 WHERE name = 'run' AND fence = ?", (self.fence,))
        if self._hold is not None:
            self._hold.release()
        return False

    def check(self) -> None:
        """Raise LockHeld unless this run still holds the lock: for threads that are about to change a machine.

        One read of the journal; when the lease has run out (a machine that was suspended), it is renewed first, which
        succeeds only if nobody took the lock in the meantime.
        """
        if self.lost is not None:
            raise self.lost
        try:
            now = holder(self._journal)
            if now is None or now.fence != self.fence:
                raise _taken(now)
            if now.expires <= time.time():
                self._renew()
        except LockHeld:
            raise
        except Exception as error:
            raise LockHeld(
                "this run cannot prove that it still holds the lock of the data center",
                why=f"the journal does not answer: {_reason(error)}",
                hint=_HINT,
            ) from error

    def _take(self) -> int:
        """Write the lease and return its number. That of a dead process of this machine is taken over."""
        now = time.time()
        with self._journal.transaction() as db:
            other = holder(self._journal)
            if other is not None and other.expires > now and other.machine != socket.gethostname():
                raise _held(other)
            values = (self._owner, self._run, now, now + self._lease)
            return int(
                db.execute(
                    "INSERT INTO leases (name, owner, run, taken, expires, fence) VALUES ('run', ?, ?, ?, ?, 1)"
                    " ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, run = excluded.run,"
                    " taken = excluded.taken, expires = excluded.expires, fence = leases.fence + 1 RETURNING fence",
                    values,
                ).fetchall()[0][0]
            )

    def _keep(self) -> None:
        """Renew until the run ends. A failure is tried again until the lease is over; then the lock is lost."""
        until, pause = time.monotonic() + self._lease, self._lease / 3
        while not self._stop.wait(pause):
            try:
                began = time.monotonic()
                self._renew()
                until, pause = began + self._lease, self._lease / 3
            except LockHeld as lost:
                self._give_up(lost)
                return
            except Exception as error:  # disk full, read-only, database away: the reason is passed on
                if time.monotonic() >= until:
                    self._give_up(_not_renewed(error))
                    return
                pause = self._lease / 12

    def _renew(self) -> None:
        """Raises LockHeld when another run has the lock, and what may pass as JournalUnavailable."""
        if self._hold is not None and not self._hold.keep():
            now = holder(self._journal)
            if now is None or now.fence != self.fence:
                raise _taken(now)
            raise JournalUnavailable(
                "the connection that held the lock was lost",
                why="the database server has not noticed that yet, or another run is trying to take the lock",
                hint=_HINT,
            )
        values = (time.time() + self._lease, self.fence)
        with self._journal.transaction() as db:
            renewed = db.execute("UPDATE leases SET expires = ? WHERE name = 'run' AND fence = ?", values).rowcount
        if not renewed:
            raise _taken(holder(self._journal))

    def _give_up(self, lost: LockHeld) -> None:
        self.lost = lost
        with suppress(Exception):  # the journal may be what is broken
            text = f"{lost.what}: {lost.why}"
            data = {"what": lost.what, "why": lost.why, "hint": lost.hint, "fence": self.fence}
            self._journal.append(Event("bmk", "run.lock_lost", text, run=self._run, level="error", data=data))
        if self.on_lost is not None:
            self.on_lost(lost)


def holder(journal: Journal) -> Holder | None:
    """Who took the lock last and has not given it back; the lease may have expired."""
    rows = journal.query("SELECT owner, run, taken, expires, fence FROM leases WHERE name = 'run' AND expires > 0")
    return Holder(*rows[0]) if rows else None


def living(journal: Journal) -> str | None:
    """The run that is at work now; None when nobody is. Asking takes no lock, so it disturbs no run that begins."""
    found = holder(journal)
    if found is None or found.expires < time.time():
        return None
    here = found.machine == socket.gethostname()
    return None if here and not _lives(found.pid) else found.run


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's
    return True


_HINT = "wait until the other run has ended; the same command continues"


def _held(by: Holder | None) -> LockHeld:
    if by is None:
        return LockHeld("another run has just started", hint="try again in a moment")
    return LockHeld(f"{by.owner} is at work on this data center", why=_lease(by), hint=_HINT)


def _taken(by: Holder | None) -> LockHeld:
    what = "another run took the lock of this data center"
    return LockHeld(what, why=f"{by.owner}, {_lease(by)}" if by else "and has ended since", hint=_HINT)


def _not_renewed(error: Exception) -> LockHeld:
    return LockHeld(
        "the lock of this data center could not be renewed until its lease ended",
        why=_reason(error),
        hint="put the journal's disk or database right; the same command continues",
    )


def _lease(by: Holder) -> str:
    since, until = (time.strftime("%H:%M:%S", time.localtime(t)) for t in (by.taken, by.expires))
    return f"run {by.run}, since {since}; its lease is good until {until} and renewed while it lives"


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, BmkError | OSError) else f"{type(error).__name__}: {error}"
