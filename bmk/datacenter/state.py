"""The state of a data center: to which file it belongs, and its journal.

Two checkouts with one name would share grants, keys and machines, so the state directory remembers the file. Another
one with the same name is refused while the first is still there. When that one is gone, it was moved: its state goes
with it, and the journal says so. `bmk adopt` lets a copy take over.
"""

from __future__ import annotations

from pathlib import Path

from bmk.datacenter.resolve import DataCenter
from bmk.errors import PreflightRefused
from bmk.journal import Event, Journal, Server
from bmk.paths import private_dir
from bmk.secrets import resolve

FILE = "file"  # below the state directory: the path of dc.yml


def open_journal(dc: DataCenter) -> Journal:
    """The journal of a data center, made when it is not there yet."""
    return Journal.open(dc.state, _server(dc))


def existing_journal(dc: DataCenter) -> Journal | None:
    """The journal of a data center, if anything ever happened there: who only asks leaves nothing behind."""
    return Journal.existing(dc.state, _server(dc))


def claim(dc: DataCenter) -> None:
    """Remember the file of a data center whose state is used from now on. Raises PreflightRefused as `require_own`."""
    require_own(dc)
    if _remembered(dc) != dc.source.resolve():
        adopt(dc)


def require_own(dc: DataCenter) -> None:
    """Raise PreflightRefused, with what to do, when the state belongs to another file that is still there."""
    before = _remembered(dc)
    if before is None or before == dc.source.resolve() or not before.is_file():
        return
    raise PreflightRefused(
        f"the state of {dc.name} belongs to another file of that name",
        where=str(dc.state),
        why=f"it was made for {before}, this is {dc.source.resolve()}",
        hint=f"bmk adopt {dc.source}, when this file takes its place; else another metadata.name, or BMK_STATE_DIR",
    )


def adopt(dc: DataCenter) -> Path | None:
    """Let the state belong to this file from now on; returns the one it belonged to."""
    before, now = _remembered(dc), dc.source.resolve()
    private_dir(dc.state)
    (dc.state / FILE).write_text(f"{now}\n")
    if before is not None and before != now:
        journal = open_journal(dc)
        journal.append(Event("bmk", "state.adopted", f"the state is that of {now} now, before of {before}"))
        journal.close()
    return before


def _remembered(dc: DataCenter) -> Path | None:
    try:
        return Path((dc.state / FILE).read_text().strip())
    except FileNotFoundError:
        return None


def _server(dc: DataCenter) -> Server | None:
    """The database server that the file names. Its password is read when a connection is made."""
    wanted = dc.spec.journal
    if wanted is None:
        return None
    secret = wanted.secret
    if secret is None:
        return Server(wanted.url)

    def login() -> tuple[str, str]:
        found = resolve(secret, dc.source.parent, dc.state)
        return found.username, found.password.reveal()

    return Server(wanted.url, login)
