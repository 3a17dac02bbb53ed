"""What every journal promises, whichever database is behind it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bmk.boot import grants
from bmk.boot.grants import Permission
from bmk.datacenter.model import JournalSpec
from bmk.drift import history
from bmk.drift.baseline import Baseline, newest, store
from bmk.drift.model import DriftStatus
from bmk.errors import ConfigError, PreflightRefused
from bmk.journal import Conflict, Event, Journal, Server
from bmk.journal.database import JournalUnavailable
from bmk.journal.retention import figures, prune
from bmk.journal.schema import MIGRATIONS
from bmk.permit import permitted
from tests import postgres

pytestmark = pytest.mark.services

OpenJournal = Callable[..., Journal]


def test_events_are_read_as_they_were_written(journal: Journal) -> None:
    """Every field comes back, in the order of writing, with numbers that rise."""
    events = [
        Event("bmk", "phase.started", "one", "a", "booting", "r1", "info", {"n": 1, "ü": [None, True]}, 12.5),
        Event("agent", "image.progress", "two\nlines", "b", level="warning", at=1.0),
        Event("bmk", "image.written", "three", "a", at=2.0),
    ]
    last = journal.extend(events)
    found = journal.since()
    assert [(e.source, e.kind, e.text, e.host, e.phase, e.run, e.level, e.data, e.at) for e in found] == [
        (e.source, e.kind, e.text, e.host, e.phase, e.run, e.level, e.data, e.at) for e in events
    ]
    assert [e.seq for e in found] == sorted({e.seq for e in found})
    assert journal.last_seq() == last == found[-1].seq


def test_events_are_chosen_by_host_kind_and_number(journal: Journal) -> None:
    """A kind with a dot at its end means all below it, and no other kind that begins alike."""
    kinds = ["image", "image.progress", "image.written", "images.x", "Image.x", "image/x"]
    journal.extend(Event("bmk", kind, "", host=f"h{n % 2}") for n, kind in enumerate(kinds))
    assert [e.kind for e in journal.since(kind="image.")] == ["image.progress", "image.written"]
    assert [e.kind for e in journal.since(kind="image")] == ["image"]
    assert [e.kind for e in journal.since(host="h1", limit=2)] == ["image.progress", "images.x"]
    first = journal.since()[0].seq
    assert len(journal.since(first)) == len(kinds) - 1


def test_the_newest_events_of_each_host(journal: Journal) -> None:
    """Machines' own words do not count where bmk's are asked for; debug events are not shown."""
    for n in range(3):
        journal.append(Event("bmk", "host.ready", str(n), host="a"))
    journal.append(Event("agent", "host.ready", "forged", host="a"))
    journal.append(Event("bmk", "x.y", "debug", host="b", level="debug"))
    journal.append(Event("bmk", "host.ready", "of none"))
    assert {h: e.text for h, e in journal.newest_of_hosts(["host.ready"], ["agent"]).items()} == {"a": "2"}
    assert [e.text for e in journal.tails(2)] == ["2", "forged"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters()), st.text(st.characters()))
def test_no_text_of_a_machine_stops_the_journal(journal: Journal, text: str, value: str) -> None:
    """Whatever characters a machine sends are stored; what no database can hold becomes a replacement character."""
    journal.append(Event("agent", "x.y", text, host="a", data={"said": value}))
    found = journal.since()[-1]
    assert found.data == {"said": value}
    assert len(found.text) == len(text)
    assert all(new in (old, "\ufffd") for new, old in zip(found.text, text, strict=True))


def test_a_transaction_is_all_or_nothing(journal: Journal) -> None:
    """Also with transactions within it."""

    def fails() -> None:
        with journal.transaction():
            journal.append(Event("bmk", "x.y", "gone"))
            journal.record("a", "k", 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert journal.since() == []
    assert journal.facts("a") == {}
    journal.record("a", "k", {"v": 2})
    journal.record("a", "k", {"v": 3})
    assert journal.records("k") == {"a": {"v": 3}}


def _broken_statement(journal: Journal) -> None:
    with journal.transaction() as db:
        db.execute("INSERT INTO runs (id, action, started, owner, plan) VALUES ('r1','x',1,'ann','{}')")


def _broken_transaction(journal: Journal) -> None:
    with journal.transaction():
        journal.record("b", "k", 1)
        raise ZeroDivisionError


@pytest.mark.parametrize("fails", [_broken_statement, _broken_transaction])
def test_what_failed_within_a_transaction_is_not_stored_by_catching_it(
    journal: Journal, fails: Callable[[Journal], None]
) -> None:
    """Neither a half of the part that failed, nor the rest without it, nor nothing without a word."""
    _broken_statement(journal)  # works the first time

    def caught() -> None:
        with journal.transaction():
            journal.append(Event("bmk", "x.y", "before"))
            with suppress(Conflict, ZeroDivisionError):
                fails(journal)

    with pytest.raises(RuntimeError, match="nothing of it is stored"):
        caught()
    assert journal.since() == []
    assert journal.facts("b") == {}
    journal.append(Event("bmk", "x.y", "after"))
    assert [e.text for e in journal.since()] == ["after"]


def test_a_statement_that_failed_cannot_be_passed_over(journal: Journal) -> None:
    """PostgreSQL commits nothing after it and says nothing; SQLite would commit the rest."""
    _broken_statement(journal)

    def caught() -> None:
        with journal.transaction() as db:
            journal.append(Event("bmk", "x.y", "before"))
            with suppress(Conflict):
                db.execute("INSERT INTO runs (id, action, started, owner, plan) VALUES ('r1','x',1,'ann','{}')")

    with pytest.raises(RuntimeError, match="nothing of it is stored"):
        caught()
    assert journal.since() == []


def test_a_statement_with_too_few_values_cannot_be_passed_over(journal: Journal) -> None:
    """A bug that somebody catches stores no half of a transaction either."""

    def caught() -> None:
        with journal.transaction() as db:
            journal.append(Event("bmk", "x.y", "before"))
            with suppress(Exception):
                db.execute("DELETE FROM records WHERE host = ? AND key = ?", ("a",))

    with pytest.raises(RuntimeError, match="nothing of it is stored"):
        caught()
    assert journal.since() == []


def test_a_refused_grant_leaves_a_transaction_as_it_was(journal: Journal) -> None:
    """Who asks for a second grant within a transaction may go on after the refusal, on both databases."""
    wanted = Permission("a", ("m",), None, "s", {}, None, "node-image", "a" * 64, "none")
    grants.open_grant(journal, wanted, 100.0)
    with journal.transaction():
        with pytest.raises(PreflightRefused, match="granted already"):
            grants.open_grant(journal, wanted, 100.0)
        journal.record("a", "k", 1)
    assert journal.facts("a") == {"k": 1}


def test_nobody_takes_the_lock_between_the_permit_and_the_grant(open_journal: OpenJournal) -> None:
    """Who asks whether the run still holds the lock, and then opens a grant, does both in one transaction."""
    journal, other = open_journal(), open_journal()
    with ThreadPoolExecutor(1) as pool:
        taking = list[Future[int]]()

        def check() -> None:
            taking.append(pool.submit(other.append, Event("bmk", "lock.taken", "by another run")))
            with suppress(TimeoutError):
                taking[0].result(timeout=0.5)

        with permitted(check):
            grants.open_grant(journal, Permission("a", ("m",), None, "s", {}, None, "i", "a" * 64, "none"), 100.0)
        taking[0].result(timeout=60)
    assert [e.kind for e in journal.since()] == ["grant.opened", "lock.taken"]


def test_a_reader_that_continues_after_the_newest_number_misses_nothing(open_journal: OpenJournal) -> None:
    """Writers of several processes take turns, so an event never appears behind one that was read already."""
    total, seen, writers = 400, list[int](), [open_journal() for _ in range(4)]
    reader, done = open_journal(), threading.Event()

    def read() -> None:
        last = 0
        while not (done.is_set() and last == reader.last_seq()):
            for event in reader.since(last):
                last = event.seq
                seen.append(last)

    with ThreadPoolExecutor(5) as pool:
        reading = pool.submit(read)
        for writing in [pool.submit(_write, w, total // 4) for w in writers]:
            writing.result()
        done.set()
        reading.result(timeout=60)
    assert len(seen) == total
    assert seen == sorted(seen)


def _write(journal: Journal, count: int) -> None:
    for n in range(count):
        journal.append(Event("bmk", "x.y", str(n)))


def test_one_open_grant_per_host(open_journal: OpenJournal) -> None:
    """The table itself refuses a second one; of many claims at once exactly one wins."""
    journal = open_journal()
    wanted = Permission("a", ("m",), None, "s", {}, None, "node-image", "a" * 64, "none")
    grant = grants.open_grant(journal, wanted, 100.0)
    with pytest.raises(PreflightRefused, match="granted already"):
        grants.open_grant(journal, wanted, 100.0)
    with pytest.raises(Conflict), journal.transaction() as db:
        db.execute("INSERT INTO grants (id, host, attempt, body, opened, expires) VALUES ('x','a',9,'{}',1,2)")

    def claim(number: int) -> bool:
        taken = grants.Taken("10.0.0.1", f"{{{number}}}", "{}")
        try:
            return grants.claim(open_journal(), grant.id, str(number) * 43, taken, 101.0) == taken
        except PreflightRefused:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim, range(8))) == 1
    assert [g.id for g in grants.listed(journal)] == [g.id for g in grants.listed(journal, "a")] == [grant.id]
    assert grants.expire(journal, 1e9) == ["a"]


def test_baselines_and_drift_are_kept(journal: Journal) -> None:
    """A signed baseline is found again and verified; its history is bounded; drift runs can be written twice."""
    for n in range(25):
        store(journal, Baseline("a", float(n), f"d{n}"))
    found = newest(journal, "a")
    assert found is not None
    assert found.digest == "d24"
    assert journal.query("SELECT count(*) FROM baselines")[0][0] == 20
    for _ in range(2):
        history.remember(journal, "r1", 1.0, 2.0, [DriftStatus("a")])
    assert [(p.id, p.hosts) for p in history.runs(journal)] == [("r1", 1)]


def test_old_events_are_forgotten(journal: Journal) -> None:
    """Retention works on both, of hosts and of no host."""
    for host in ("a", None):
        journal.extend(Event("bmk", "x.y", "", host=host, at=1.0) for _ in range(600))
    prune(journal, 30, 1e9)
    assert figures(journal).events == 1000
    assert figures(journal).size > 0


def test_who_only_asks_leaves_nothing_behind(server: Server | None, tmp_path: Path) -> None:
    """There is no journal before something was written, and asking makes none."""
    assert Journal.existing(tmp_path / "lyo", server) is None
    assert not (tmp_path / "lyo").exists()
    Journal.open(tmp_path / "lyo", server).append(Event("bmk", "x.y", "it"))
    found = Journal.existing(tmp_path / "lyo", server)
    assert found is not None
    assert found.since()[0].text == "it"


def test_a_journal_is_never_begun_anew_in_the_other_database(
    postgres_server: postgres.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting that is lost or new does not make bmk forget which hosts are installed; who only asks is told, too."""
    monkeypatch.delenv("BMK_JOURNAL", raising=False)
    server = Server(postgres_server.url)
    Journal.open(tmp_path / "file")
    Journal.open(tmp_path / "server", server)
    for use in (Journal.open, Journal.existing):
        with pytest.raises(PreflightRefused, match="in a file"):
            use(tmp_path / "file", server)
        with pytest.raises(PreflightRefused, match="on a server"):
            use(tmp_path / "server")
    postgres_server.empty()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:canary@db/bmk",
        "postgresql://db/bmk?password=canary",
        "postgresql://db/bmk?sslpassword=canary",
        "postgresql://db/bmk?oauth_client_secret=canary",
        "postgresql://db/bmk?passw%6Frd=canary",
        "postgresql://db/bmk?scram_client_key=canary",
        "postgresql://db/bmk?passfile=/etc/canary",
        "postgresql://db/bmk?sslkey=canary:id",
        "postgresql://db/bmk?sslkeylogfile=/tmp/canary",
        "postgresql://db/bmk?sslmode=prefer&host=canary",
        "postgresql://db/bmk?service=canary",
        "postgresql://db/bmk?options=-c%20role=canary",
        "postgresql://db/bmk?sslmode=disable\n&password=canary",
        "postgresql://ann:canary@[db/bmk",
        "mysql://db/bmk",
        "db",
    ],
)
def test_the_environment_names_a_server_without_a_password(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment is inherited and printed: a password in it is refused, and not repeated."""
    monkeypatch.setenv("BMK_JOURNAL", url)
    with pytest.raises(ConfigError) as caught:
        Journal.open(tmp_path / "par")
    assert "canary" not in str(caught.value)


def test_a_server_without_the_journal_is_not_the_one_that_it_is_on(
    postgres_server: postgres.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An URL that was changed does not begin an empty journal, which would install every host again."""
    monkeypatch.delenv("BMK_JOURNAL", raising=False)
    server, other = (Server(postgres_server.url.replace("postgres?", f"{name}?")) for name in ("postgres", "template1"))
    Journal.open(tmp_path / "par", server).close()
    for use in (Journal.open, Journal.existing):
        with pytest.raises(PreflightRefused, match="is not on this server") as caught:
            use(tmp_path / "par", other)
        assert server.url in caught.value.why
    monkeypatch.setenv("BMK_JOURNAL", f"{server.url}&sslmode=disable")  # another name of the same server
    Journal.open(tmp_path / "par", other).close()
    postgres_server.empty()


def test_a_file_that_is_no_journal_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was damaged is the disk's fault, not a bug in bmk; what helps is a copy."""
    monkeypatch.delenv("BMK_JOURNAL", raising=False)
    (tmp_path / "par").mkdir()
    (tmp_path / "par" / "journal.db").write_bytes(b"damaged " * 1000)
    with pytest.raises(JournalUnavailable, match="cannot be read") as caught:
        Journal.open(tmp_path / "par")
    assert "journal.db" in caught.value.where
    assert "copy" in caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db/bmk",
        "postgres://ann@db.example.net:5433/bmk?sslrootcert=/etc/ssl/db-ca.pem",
        "postgresql://[fd00::1]:5433,db2/bmk?target_session_attrs=read-write&sslmode=verify-full",
        "postgresql:///bmk?host=/run/postgresql",
    ],
)
def test_a_server_may_be_named_in_these_ways(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What docs/journal.md describes is an address, in the environment and in dc.yml alike; nobody is asked here."""
    monkeypatch.setenv("BMK_JOURNAL", url)
    (tmp_path / "par").mkdir()
    (tmp_path / "par" / "journal.db").touch()
    with pytest.raises(PreflightRefused, match="has a journal in a file"):
        Journal.open(tmp_path / "par")
    assert JournalSpec(url=url).url == url


def test_tables_that_are_gone_are_the_servers_trouble(
    postgres_server: postgres.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A schema that somebody dropped while bmk runs is an error that names server and schema."""
    monkeypatch.delenv("BMK_JOURNAL", raising=False)
    journal = Journal.open(tmp_path / "par", Server(postgres_server.url))
    with psycopg.connect(postgres_server.url, autocommit=True) as db:
        db.execute("DROP SCHEMA par CASCADE")
    with pytest.raises(JournalUnavailable) as caught:
        journal.append(Event("bmk", "x.y", "lost"))
    assert "schema par" in caught.value.where
    journal.close()


def test_data_centers_do_not_see_each_other(open_journal: OpenJournal) -> None:
    """On one server, too."""
    open_journal("par").append(Event("bmk", "x.y", "par"))
    assert open_journal("lyo").since() == []


def test_a_journal_of_a_newer_bmk_is_refused(open_journal: OpenJournal) -> None:
    """An old bmk does not write into tables that it does not know."""
    journal = open_journal()
    with journal.transaction():
        journal._database.migrate(len(MIGRATIONS) + 1, "CREATE TABLE later (id INTEGER)")
    with pytest.raises(PreflightRefused, match="this bmk knows"):
        open_journal()


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_a_journal_of_an_earlier_version_opens(version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that any earlier version wrote is brought up to date, with what was in it."""
    monkeypatch.delenv("BMK_JOURNAL", raising=False)
    (tmp_path / "par").mkdir()
    with sqlite3.connect(tmp_path / "par" / "journal.db") as db:
        for script in MIGRATIONS[:version]:
            db.executescript(script)
        db.execute(f"PRAGMA user_version = {version}")
        db.execute("INSERT INTO events (at, source, kind, level, text, data) VALUES (1,'bmk','x.y','info','old','{}')")
        db.execute("INSERT INTO leases (name, owner, run, taken, expires) VALUES ('run','ann@far pid 9','r0',1,2)")
    journal = Journal.open(tmp_path / "par")
    assert [e.text for e in journal.since()] == ["old"]
    assert journal.query("SELECT fence FROM leases") == [(0,)]
    store(journal, Baseline("a", 1.0, "d"))


def test_a_server_that_restarts_is_only_a_pause(
    postgres_server: postgres.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two transactions the journal connects again; within one, nothing of it is stored."""
    monkeypatch.delenv("BMK_JOURNAL", raising=False)
    journal = Journal.open(tmp_path / "par", Server(postgres_server.url))
    journal.append(Event("bmk", "x.y", "before"))
    postgres_server.control("restart", "-m", "fast")
    journal.append(Event("bmk", "x.y", "after"))

    def interrupted() -> None:
        with journal.transaction():
            journal.append(Event("bmk", "x.y", "lost"))
            postgres_server.control("restart", "-m", "fast")
            journal.append(Event("bmk", "x.y", "lost, too"))

    with pytest.raises(JournalUnavailable) as caught:
        interrupted()
    assert "schema par" in caught.value.where
    assert [e.text for e in journal.since()] == ["before", "after"]
