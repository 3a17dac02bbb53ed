"""bench/journal.py [--events N] [--writers N]: the journal on SQLite and on PostgreSQL, side by side.

Both run on this machine, one after the other: only the ratio says something. PostgreSQL is a server of its own with
fsync on, reached by a socket; SQLite is a file in the same directory, WAL with synchronous=NORMAL as bmk uses it.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bmk.engine.lock import RunLock
from bmk.journal import Event, Journal, Server
from bmk.journal.events import MACHINES
from bmk.journal.host_status import WAY
from tests import postgres


def _rate(count: int, work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


def _event(number: int, hosts: int = 500) -> Event:
    host, kind = f"h{number % hosts}", ("phase.started", "image.progress", "task.ok")[number % 3]
    return Event("bmk", kind, f"event {number}", host, "imaging", "r1", data={"bytes": number})


def _from_threads(opened: Callable[[], Journal], writers: int, each: int) -> None:
    def write() -> None:
        journal = opened()
        for number in range(each):
            journal.append(_event(number))

    threads = [threading.Thread(target=write) for _ in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def measure(opened: Callable[[], Journal], events: int, writers: int) -> dict[str, float]:
    """Operations a second, by what is done."""
    journal, singles = opened(), max(200, events // 100)
    found = {
        "events, one transaction each": _rate(singles, lambda: [journal.append(_event(n)) for n in range(singles)]),
        "events, 500 a transaction": _rate(
            events, lambda: [journal.extend(map(_event, range(n, n + 500))) for n in range(0, events, 500)]
        ),
        f"events, {writers} writers": _rate(
            singles, lambda: _from_threads(opened, writers, max(1, singles // writers))
        ),
        "events read": _rate(events, journal.since),
        "empty polls": _rate(500, lambda: [journal.since(journal.last_seq()) for _ in range(500)]),
        "newest of 500 hosts": _rate(5, lambda: [journal.newest_of_hosts(WAY, MACHINES) for _ in range(5)]),
        "newest 40 of 500 hosts": _rate(5, lambda: [journal.tails(40) for _ in range(5)]),
        "records": _rate(200, lambda: [journal.record(f"h{n}", "installed", {"at": n}) for n in range(200)]),
    }
    with RunLock(journal, "r1") as lock:
        found["checks of the lock"] = _rate(500, lambda: [lock.check() for _ in range(500)])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--writers", type=int, default=4)
    options = parser.parse_args()
    with postgres.server(fsync="on") as server, tempfile.TemporaryDirectory() as directory:
        file = measure(lambda: Journal.open(Path(directory) / "file"), options.events, options.writers)
        remote = Server(server.url)
        far = measure(lambda: Journal.open(Path(directory) / "far", remote), options.events, options.writers)
    print(f"{'':32}{'SQLite/s':>12}{'PostgreSQL/s':>14}{'ratio':>8}")
    for what, rate in file.items():
        print(f"{what:32}{rate:12.0f}{far[what]:14.0f}{far[what] / rate:8.2f}")


if __name__ == "__main__":
    main()
