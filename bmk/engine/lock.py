"""One run per data center: a lease in the journal says who, a file lock says that they live.

The kernel drops the file lock when its process dies, also by kill -9 and across namespaces, so the same command can
continue at once on the same machine. A lease of another machine (state on shared storage) counts until it expires.
"""

from __future__ import annotations

import fcntl
import getpass
import os
import socket
import threading
import time
from dataclasses import dataclass
from typing import Literal

from bmk.errors import LockHeld
from bmk.journal import Journal

LEASE = 60.0  # seconds; renewed every third of it


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has the lock. `taken` and `expires` in seconds since the epoch."""

    owner: str
    run: str | None
    taken: float
    expires: float

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


class RunLock:
    """Context manager: exclusive work on one data center. Raises LockHeld (exit 7) with who, since when, until when."""

    def __init__(self, journal: Journal, run: str, owner: str = "", lease: float = LEASE) -> None:
        self._journal, self._run, self._lease = journal, run, lease
        self._owner = owner or this_owner()
        self._stop = threading.Event()
        self._file: int | None = None
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> RunLock:
        self._file = os.open(self._journal.path.with_name("run.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._take()
        except BaseException as error:
            os.close(self._file)
            raise _held(holder(self._journal)) from None if isinstance(error, BlockingIOError) else error
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self._stop.set()
        self._thread.join()
        with self._journal.transaction() as db:
            db.execute("DELETE FROM leases WHERE name = 'run' AND owner = ?", (self._owner,))
        if self._file is not None:
            os.close(self._file)
        return False

    def _take(self) -> None:
        """Write the lease. That of a dead process of this machine is taken over: it would still have the file lock."""
        now = time.time()
        with self._journal.transaction() as db:
            other = holder(self._journal)
            if other is not None and other.expires > now and other.machine != socket.gethostname():
                raise _held(other)
            values = (self._owner, self._run, now, now + self._lease)
            db.execute("REPLACE INTO leases (name, owner, run, taken, expires) VALUES ('run',?,?,?,?)", values)

    def _renew(self) -> None:
        while not self._stop.wait(self._lease / 3):
            with self._journal.transaction() as db:
                values = (time.time() + self._lease, self._owner)
                db.execute("UPDATE leases SET expires = ? WHERE name = 'run' AND owner = ?", values)


def holder(journal: Journal) -> Holder | None:
    """Who wrote the lease last; it may have expired."""
    rows = journal.query("SELECT owner, run, taken, expires FROM leases WHERE name = 'run'")
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


def _held(by: Holder | None) -> LockHeld:
    if by is None:
        return LockHeld("another run has just started", hint="try again in a moment")
    since, until = (time.strftime("%H:%M:%S", time.localtime(t)) for t in (by.taken, by.expires))
    return LockHeld(
        f"{by.owner} is at work on this data center",
        why=f"run {by.run}, since {since}; its lease is good until {until} and renewed while it lives",
        hint="wait for it, or ask its owner to end it",
    )
