"""A PostgreSQL server of a test run: a cluster of its own, as an unprivileged user, reachable by a Unix socket.

Without `settings` it listens on no network; with them only in a network namespace that the test made.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

USER = "bmk"
_SETTINGS = {
    "listen_addresses": "",  # no TCP
    "max_connections": "200",
}


@dataclass(frozen=True)
class Server:
    """A running server. Its directory holds data, socket and log."""

    directory: Path

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@/postgres?host={self.directory}"

    def empty(self) -> None:
        """End what is still connected and drop every journal."""
        with psycopg.connect(self.url, autocommit=True) as db:
            rows = db.execute("SELECT nspname FROM pg_namespace WHERE nspname <> 'public' AND nspname !~ '^pg_|^info'")
            for (name,) in rows.fetchall():
                db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'bmk'")
                db.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))

    def control(self, *arguments: str) -> None:
        """`pg_ctl` with these arguments, such as `restart`."""
        _run("pg_ctl", "-D", str(self.directory / "data"), "-l", str(self.directory / "log"), "-w", *arguments)


@contextmanager
def server(fsync: str = "off", settings: Mapping[str, str] = {}, files: Mapping[str, str] = {}) -> Iterator[Server]:
    """A server for as long as the context lasts. Without `fsync` nothing of it would survive a power cut.

    `files`: what else is in its data directory, such as `pg_hba.conf`, by name.
    """
    directory = Path(tempfile.mkdtemp(prefix="bmk-pg-", dir="/tmp"))
    if os.getuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(directory, nobody.pw_uid, nobody.pw_gid)
        directory.chmod(0o755)  # tests connect from user namespaces, too
    made = Server(directory)
    try:
        _run("initdb", "-D", str(directory / "data"), "-U", USER, "--auth=trust", "--encoding=UTF8", "--locale=C", "-N")
        with (directory / "data" / "postgresql.conf").open("a") as file:
            wanted = {**_SETTINGS, "fsync": fsync, "unix_socket_directories": str(directory), **settings}
            file.writelines(f"{key} = '{value}'\n" for key, value in wanted.items())
        owner = directory.stat()
        for name, text in files.items():
            path = directory / "data" / name
            path.write_text(text)
            path.chmod(0o600)  # a private key of others is refused
            os.chown(path, owner.st_uid, owner.st_gid)
        made.control("start")
        yield made
    finally:
        if (directory / "data" / "postmaster.pid").exists():
            made.control("stop", "-m", "immediate")
        shutil.rmtree(directory)


def _run(program: str, *arguments: str) -> None:
    """A program of Debian's `postgresql`, which refuses to run as root."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    path = str(found[-1]) if found else program
    who: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
    done = subprocess.run(  # no pipes: the server would inherit and keep them
        [path, *arguments],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        **who,
    )
    assert done.returncode == 0, f"{program} {' '.join(arguments)} failed with {done.returncode}"
