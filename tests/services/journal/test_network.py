"""A journal on a server of the network: whom bmk believes, and to whom it gives the password."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from bmk.datacenter.load import load_datacenter
from bmk.datacenter.state import open_journal
from bmk.journal import Event, Journal
from bmk.journal.database import JournalUnavailable
from bmk.journal.postgres import Login, PostgresDatabase, parameters
from tests import network, postgres

pytestmark = pytest.mark.services

NAME, PASSWORD = "journal.test", "right-horse-canary"
# The user decides how the server asks: `plain` for the password itself, `hashed` for its MD5, `open` for nothing, the
# others by SCRAM.
HBA = """\
local all all trust
host all plain all password
host all hashed all md5
host all open all trust
host all all all scram-sha-256
"""
DC = """\
apiVersion: bmk.dev/v1
kind: DataCenter
metadata: {name: par}
spec:
  deployer: {address: 10.1.0.2}
  networks: {nodes: {cidr: 10.1.0.0/16}, bmc: {cidr: 10.2.0.0/16}}
  profiles: {box: {bmc: {kind: redfish, secret: bmc/par}}}
  racks: {}
  journal: {url: "URL", secret: journal/par}
"""


class Authority:
    """Signs certificates of servers."""

    def __init__(self, name: str) -> None:
        self._name, self._key = name, ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._signed(name, self._key.public_key(), x509.BasicConstraints(True, None))

    def server(self, name: str) -> tuple[str, str]:
        """Certificate and key, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return self._signed(name, key.public_key(), x509.SubjectAlternativeName([x509.DNSName(name)])), pem

    def _signed(self, subject: str, key: Any, extension: x509.ExtensionType) -> str:
        issuer, name = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, n)]) for n in (self._name, subject))
        now = datetime.now(UTC)
        made = x509.CertificateBuilder(issuer, name, key, x509.random_serial_number()).add_extension(extension, True)
        signed = made.not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
        return signed.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


@dataclass(frozen=True)
class Place:
    """A server on the network. `trusted` is the certificate of its authority, `other` that of another one."""

    trusted: Path
    other: Path
    directory: Path

    def file(self, options: str, host: str = NAME) -> Path:
        """A data center whose journal is here."""
        (self.directory / "dc.yml").write_text(DC.replace("URL", f"postgresql://{host}/postgres{options}"))
        return self.directory / "dc.yml"

    def journal(self, options: str, user: str = "bmk", host: str = NAME) -> Journal:
        """As a command opens it, with the password of `spec.journal.secret`."""
        file = self.file(options, host)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BMK_SECRET_JOURNAL_PAR_USERNAME", user)
            patch.setenv("BMK_SECRET_JOURNAL_PAR_PASSWORD", PASSWORD)
            patch.setenv("BMK_STATE_DIR", str(self.directory / "state"))
            patch.delenv("BMK_JOURNAL", raising=False)
            return open_journal(load_datacenter(str(file)))

    def command(self, *words: str, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
        """`bmk` with these words, the file and what the secret store of an operator says."""
        secret = {"BMK_SECRET_JOURNAL_PAR_USERNAME": "bmk", "BMK_SECRET_JOURNAL_PAR_PASSWORD": password}
        env = {name: value for name, value in os.environ.items() if name != "BMK_JOURNAL"} | secret
        return subprocess.run(
            [str(Path(sys.executable).with_name("bmk")), *words, str(self.file(f"?sslrootcert={self.trusted}"))],
            env=env | {"BMK_STATE_DIR": str(self.directory / "state")},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory, authority = tmp_path_factory.mktemp("authorities"), Authority("ours")
    (trusted := directory / "trusted.pem").write_text(authority.certificate)
    (other := directory / "other.pem").write_text(Authority("other").certificate)
    certificate, key = authority.server(NAME)
    settings = {"listen_addresses": "127.0.0.1", "ssl": "on", "password_encryption": "scram-sha-256"}
    files = {"server.crt": certificate, "server.key": key, "pg_hba.conf": HBA}
    with network.own(), postgres.server(settings=settings, files=files) as server:
        with psycopg.connect(server.url, autocommit=True) as db:
            db.execute(f"ALTER USER bmk PASSWORD '{PASSWORD}'")
            db.execute("SET password_encryption = 'md5'")
            for user in ("plain", "hashed", "open"):
                db.execute(f"CREATE USER {user} SUPERUSER PASSWORD '{PASSWORD}'")
        yield Place(trusted, other, directory)


@pytest.fixture
def place(started: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The names of the server are known to this process only, as a DNS would tell them to libpq."""
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
    return Place(started.trusted, started.other, tmp_path)


def _works(journal: Journal) -> None:
    journal.append(Event("bmk", "x.y", "stored"))
    assert journal.since()[-1].text == "stored"
    assert journal.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [(True,)]
    journal.close()


def test_a_password_opens_a_journal_over_tls(place: Place) -> None:
    """The secret of dc.yml logs in at a server whose certificate is signed for its name by the authority named."""
    _works(place.journal(f"?sslrootcert={place.trusted}"))


def test_the_authorities_of_this_machine_are_trusted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any option: those that every program of this machine trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(place.trusted))
    _works(place.journal(""))


@pytest.mark.parametrize("option", ["", "?sslrootcert=OTHER", "?sslmode=verify-full&sslrootcert=OTHER"])
def test_a_certificate_of_an_unknown_authority_is_refused(place: Place, option: str) -> None:
    """Whether the file names another authority or none; the error says what is wrong, and shows no password."""
    with pytest.raises(JournalUnavailable, match="cannot be read") as caught:
        place.journal(option.replace("OTHER", str(place.other)))
    assert "certificate verify failed" in caught.value.why
    assert PASSWORD not in str(caught.value)


def test_a_certificate_for_another_name_is_refused(place: Place) -> None:
    """A signed certificate counts for the name that it was signed for."""
    with pytest.raises(JournalUnavailable) as caught:
        place.journal(f"?sslrootcert={place.trusted}", host="elsewhere.test")
    assert f'"{NAME}" does not match host name "elsewhere.test"' in caught.value.why


def test_the_environment_does_not_take_the_checks_away(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host of libpq's environment is a server of the network like that of an URL."""
    monkeypatch.setenv("PGHOST", NAME)
    monkeypatch.setenv("PGSSLMODE", "prefer")
    with pytest.raises(JournalUnavailable) as caught:
        place.journal("", host="")
    assert "certificate verify failed" in caught.value.why


@pytest.mark.parametrize("user", ["plain", "hashed", "open"])
@pytest.mark.parametrize("option", ["?sslrootcert=TRUSTED", "?sslmode=disable"])
def test_a_server_that_does_not_know_the_password_does_not_get_it(place: Place, user: str, option: str) -> None:
    """Whoever may write the URL may name a server of their own: the password is proven to a server that proves that it
    knows it, and is never sent; a server that asks for no proof is not the one that it is for.
    """
    with pytest.raises(JournalUnavailable, match="cannot be read") as caught:
        place.journal(option.replace("TRUSTED", str(place.trusted)), user)
    assert "authentication method requirement" in caught.value.why


@pytest.mark.parametrize(("user", "refused"), [("bmk", False), ("plain", True), ("hashed", True)])
def test_a_password_that_libpq_finds_is_not_sent_either(
    place: Place, user: str, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of ~/.pgpass, for a data center whose file names no secret, logs in by SCRAM only."""
    (passwords := place.directory / "pgpass").write_text(f"*:*:*:*:{PASSWORD}\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    database = PostgresDatabase(f"postgresql://{user}@{NAME}/postgres?sslrootcert={place.trusted}", "par")
    if refused:
        with pytest.raises(JournalUnavailable) as caught:
            database.exists()
        assert "authentication method requirement" in caught.value.why
        assert PASSWORD not in str(caught.value)
    else:
        assert isinstance(database.exists(), bool)
    database.close()


def test_encryption_by_kerberos_does_not_take_the_place_of_tls(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """libpq prefers it when a ticket is there, and looks at no certificate then; nor is a ticket handed on."""
    monkeypatch.setenv("PGGSSENCMODE", "require")
    monkeypatch.setenv("PGGSSDELEGATION", "1")
    _works(place.journal(f"?sslrootcert={place.trusted}"))
    assert parameters("postgresql://db/bmk", None)["gssdelegation"] == "0"


def test_commands_use_the_secret_and_show_it_nowhere(place: Place) -> None:
    """From dc.yml to the table: a command takes the run lock over TLS, the next reads what is there, and neither its
    output, nor files, nor the server's tables hold the password.
    """
    (done := place.command("adopt")).check_returncode()
    with closing(place.journal(f"?sslrootcert={place.trusted}")) as journal:
        journal.append(Event("bmk", "x.y", "told over the network"))
        assert journal.query("SELECT run FROM leases WHERE name = 'run'") != []
        tables = journal.query("SELECT tablename FROM pg_tables WHERE schemaname = 'par'")
        rows = [journal.query(f"SELECT * FROM {name}") for (name,) in tables]
    (shown := place.command("events")).check_returncode()
    assert "told over the network" in shown.stdout
    files = [p.read_bytes() for p in (place.directory / "state").rglob("*") if p.is_file()]
    assert files
    assert PASSWORD not in f"{rows}{files}{done}{shown}"


def test_a_wrong_password_is_named_and_not_shown(place: Place) -> None:
    """Exit code and words are those of a journal that cannot be read, with a traceback for developers or without."""
    wrong = "wrong-horse-canary"
    for words in (("events",), ("--debug", "events")):
        done = place.command(*words, password=wrong)
        assert done.returncode not in {0, 70}, done.stderr
        assert "password authentication failed" in done.stderr
        assert wrong not in done.stdout + done.stderr


def test_a_password_is_enough_without_tls_when_the_file_says_so(place: Place) -> None:
    """On a network that is trusted; the password is not sent there either."""
    journal = place.journal("?sslmode=disable")
    assert journal.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [(False,)]
    journal.close()


@pytest.mark.parametrize("login", [None, lambda: ("ann", "canary")])
@pytest.mark.parametrize("url", ["postgresql://db/bmk", "postgresql:///bmk", "postgresql://db/bmk?sslmode=verify-full"])
def test_the_authorities_are_those_of_this_machine(
    url: str, login: Login | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libpq gets a file that is there, with the certificates of authorities, and never a weaker check than the full."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    found = parameters(url, login)
    assert found["sslmode"] == "verify-full"
    assert "BEGIN CERTIFICATE" in Path(found["sslrootcert"]).read_text()


def test_a_server_that_vanishes_is_noticed(place: Place) -> None:
    """Both kernels give a connection up when what was sent stays unacknowledged; by default after 15 minutes."""
    database = PostgresDatabase(
        f"postgresql://{NAME}/postgres?sslrootcert={place.trusted}", "par", lambda: ("bmk", PASSWORD)
    )
    assert database.execute("SHOW tcp_user_timeout").fetchone() == ("30000",)
    assert database._db is not None
    with socket.socket(fileno=database._db.fileno()) as connection:
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
        connection.detach()
    database.close()
