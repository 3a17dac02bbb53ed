"""A new ssh key of the deployer on every host: it is added and tried, then it becomes the current one, then the old
one is removed.

    ssh/id_ed25519(.pub)    the key that counts
    ssh/next/               the one that comes, until every host lets it in
    ssh/old/                the one that went, until no host lets it in any more

Each step of each host is in the journal before the next begins, so the same command continues after a kill anywhere.
Until every host lets the new key in, the old one counts: no host is ever out of reach.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from bmk.boot import grants
from bmk.datacenter.credentials import login_line, login_sources
from bmk.datacenter.hosts import host_named
from bmk.datacenter.resolve import DataCenter, Host
from bmk.drift import baseline as baselines
from bmk.drift.model import Attributes
from bmk.errors import BmkError, ConfigError, PreflightRefused, Unreachable
from bmk.journal import Event, Journal
from bmk.journal.records import RetiredRecord
from bmk.paths import private_dir
from bmk.ssh import KEY, Target, login_key, make_key, run

RECORD = "login_keys"  # of a host: by fingerprint, whether it is known to let that key of the deployer in
_AT_ONCE = 32
# Reads the new file's content from stdin. The file is replaced whole: a login in between sees the old or the new one.
_REPLACE = (
    "umask 077; cat > /root/.ssh/.authorized_keys.bmk && mv /root/.ssh/.authorized_keys.bmk /root/.ssh/authorized_keys"
)


@dataclass(frozen=True, slots=True)
class LoginKey:
    """A key pair; its private half may be in an agent, and then only `path`.pub is there."""

    path: Path

    @property
    def public(self) -> str:
        """`ssh-ed25519 AAAA... comment`."""
        return self.path.with_suffix(".pub").read_text().strip()

    @property
    def blob(self) -> str:
        return self.public.split()[1]

    @property
    def fingerprint(self) -> str:
        """As ssh-keygen prints it."""
        digest = hashlib.sha256(base64.b64decode(self.blob)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    @property
    def holder(self) -> str:
        """Where the private half is."""
        return "file" if self.path.exists() else "agent"

    def there(self) -> bool:
        return self.path.with_suffix(".pub").exists()


@dataclass(frozen=True, slots=True)
class Rotation:
    """One rotation of a data center, at whatever point it is. `state` is the state directory, `say` tells a person."""

    dc: DataCenter
    journal: Journal
    state: Path
    say: Callable[[str], None]

    @property
    def current(self) -> LoginKey:
        return LoginKey(self.state / "ssh" / KEY)

    @property
    def coming(self) -> LoginKey:
        return LoginKey(self.state / "ssh" / "next" / KEY)

    @property
    def gone(self) -> LoginKey:
        return LoginKey(self.state / "ssh" / "old" / KEY)

    @property
    def under_way(self) -> bool:
        return self.coming.there() or self.gone.there()


def installed_hosts(rotation: Rotation, without: Sequence[str]) -> list[Host]:
    """Hosts that have a system of ours, but those that are left behind or were removed: they are installed again first.

    Refused while one is being installed.
    """
    for name in without:
        host_named(rotation.dc, name)
    now = time.time()
    for host in rotation.dc.hosts.values():
        if grants.current(rotation.journal, host.name, now) is not None:
            raise PreflightRefused(
                "it may be installed now, and would get the key that goes",
                where=host.name,
                hint=f"let it finish, or bmk grant revoke {rotation.dc.name} {host.name}",
            )
    pinned, behind = rotation.journal.records("host_keys"), {*without, *RetiredRecord.load_all(rotation.journal)}
    return [host for host in rotation.dc.hosts.values() if host.name in pinned and host.name not in behind]


def rotate(rotation: Rotation, hosts: Sequence[Host], public: Path | None = None) -> dict[str, BmkError]:
    """Go on with the rotation that was begun, or begin one; returns the hosts that could not be done, and why.

    `public`: the public half of a key that an agent holds; None: a new pair is made. `hosts`: see `installed_hosts`.
    """
    _finish_promotion(rotation)
    if not rotation.under_way:
        _stage(rotation, public)
    elif public is not None:
        _refuse_another(rotation, _public_line(public))
    if rotation.coming.there():
        login_key(rotation.coming.path)  # once, not for each host
        failed = _each(rotation, hosts, _authorize)
        if failed:
            return failed
        _promote(rotation)
    failed = _each(rotation, hosts, _deauthorize)
    if not failed:
        shutil.rmtree(rotation.gone.path.parent, ignore_errors=True)
        rotation.journal.append(Event("bmk", "keys.rotated", f"the deployer's key is {rotation.current.fingerprint}"))
    return failed


def _stage(rotation: Rotation, public: Path | None) -> None:
    """Whole or not at all: a directory that is being made has another name."""
    fresh = rotation.state / "ssh" / ".next"
    shutil.rmtree(fresh, ignore_errors=True)
    private_dir(fresh)
    if public is None:
        make_key(fresh / KEY, f"bmk {rotation.dc.name}")
    else:
        (fresh / KEY).with_suffix(".pub").write_text(_public_line(public) + "\n")
    login_key(fresh / KEY)  # nobody is told to trust a key that cannot be used
    fresh.rename(rotation.coming.path.parent)
    text = f"rotation of the deployer's key begins: {rotation.current.fingerprint} to {rotation.coming.fingerprint}"
    rotation.journal.append(Event("bmk", "keys.begun", text))


def _refuse_another(rotation: Rotation, public: str) -> None:
    """A rotation that is under way ends with the key that it began with."""
    target = rotation.coming if rotation.coming.there() else rotation.current
    if target.blob != public.split()[1]:
        raise PreflightRefused(
            f"a rotation to another key is under way: {target.fingerprint}",
            where=rotation.dc.name,
            hint=f"end it first: bmk keys rotate {rotation.dc.name}",
        )


def _public_line(path: Path) -> str:
    try:
        words = path.read_text()[:10_000].split("\n", 1)[0].split()
        if (
            len(words) >= 2
            and words[0].startswith(("ssh-", "ecdsa-", "sk-"))
            and base64.b64decode(words[1], validate=True)
        ):
            return " ".join((*words[:2], "bmk"))
    except (OSError, ValueError):
        pass
    raise ConfigError(
        "this is no public ssh key",
        where=str(path),
        hint="ssh-add -L prints those of the agent; put one line into a file",
    )


def _each(rotation: Rotation, hosts: Iterable[Host], step: Callable[[Rotation, Host], None]) -> dict[str, BmkError]:
    def one(host: Host) -> tuple[str, BmkError | None]:
        try:
            step(rotation, host)
        except BmkError as error:
            return host.name, error
        return host.name, None

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="keys") as pool:
        return {name: error for name, error in pool.map(one, hosts) if error is not None}


def _authorize(rotation: Rotation, host: Host) -> None:
    """Add the new key on a host, and prove it by a login."""
    new = rotation.coming
    if _known(rotation.journal, host).get(new.fingerprint):
        return
    options = login_line("", login_sources(rotation.dc, host)).strip()
    line = f"{options} {new.public}"
    _rewrite(rotation, host, rotation.current, lambda lines: [*(one for one in lines if new.blob not in one), line])
    if run(_target(rotation, host, new), ["true"]).code != 0:
        raise Unreachable("the new key is let in, and no command runs", where=host.name)
    _update_baseline(rotation.journal, host, lambda keys: {**keys, _item(new): {"options": options}})
    _remember(rotation, host, new, True)


def _deauthorize(rotation: Rotation, host: Host) -> None:
    """Remove the old key from a host, logged in with the new one."""
    old = rotation.gone
    if not old.there() or _known(rotation.journal, host).get(old.fingerprint) is False:
        return
    _rewrite(rotation, host, rotation.current, lambda lines: [one for one in lines if old.blob not in one])
    _update_baseline(
        rotation.journal, host, lambda keys: {name: key for name, key in keys.items() if name != _item(old)}
    )
    _remember(rotation, host, old, False)


def _target(rotation: Rotation, host: Host, key: LoginKey) -> Target:
    pins = tuple(rotation.journal.facts(host.name).get("host_keys") or ())
    return Target(str(host.address), key.path, pins)


def _rewrite(rotation: Rotation, host: Host, key: LoginKey, change: Callable[[list[str]], list[str]]) -> None:
    """Change root's authorized_keys, by lines; nothing is written when nothing changes."""
    target = _target(rotation, host, key)
    lines = run(target, ["cat", "/root/.ssh/authorized_keys"]).out.splitlines()
    wanted = change(lines)
    if wanted == lines:
        return
    done = run(target, ["sh", "-c", _REPLACE], send="".join(f"{line}\n" for line in wanted).encode())
    if done.code != 0:
        raise Unreachable("root's authorized_keys cannot be written", where=host.name, why=done.err.strip()[-200:])


def _known(journal: Journal, host: Host) -> dict[str, bool]:
    return dict(journal.facts(host.name).get(RECORD) or {})


def _remember(rotation: Rotation, host: Host, key: LoginKey, lets_in: bool) -> None:
    known = _known(rotation.journal, host) if lets_in else {}
    current = {} if lets_in else {rotation.current.fingerprint: True}
    rotation.journal.record(host.name, RECORD, {**known, **current, key.fingerprint: lets_in})
    text = f"lets {key.fingerprint} in" + ("" if lets_in else " no more")
    rotation.journal.append(Event("bmk", "keys.host", text, host=host.name))
    rotation.say(f"{host.name}: {text}")


def _item(key: LoginKey) -> str:
    """A key of root as drift names it."""
    return f"root {key.public.split()[0]} {key.fingerprint}"


def _update_baseline(
    journal: Journal, host: Host, change: Callable[[Mapping[str, Attributes]], Mapping[str, Attributes]]
) -> None:
    """Update root's keys in the baseline, so that drift reports neither the new key nor the removed one."""
    baseline = baselines.newest(journal, host.name)
    if baseline is None:
        return
    before = baseline.facts.get("authorized_keys", {})
    after = change(before)
    if after != before:
        baselines.store(journal, replace(baseline, at=time.time(), facts={**baseline.facts, "authorized_keys": after}))


def _promote(rotation: Rotation) -> None:
    """The new key counts. Public halves go first and come last: the private one that is there can always be used."""
    old = private_dir(rotation.gone.path.parent)
    for suffix in (".pub", ""):
        current = rotation.current.path.with_name(KEY + suffix)
        if current.exists():
            current.replace(old / current.name)
    _finish_promotion(rotation)


def _finish_promotion(rotation: Rotation) -> None:
    """Killed between the renames, there is no current public key: the coming one takes its place."""
    ssh = rotation.state / "ssh"
    if rotation.coming.there() and rotation.gone.there() and not rotation.current.there():
        for name in (KEY, f"{KEY}.pub"):
            if (ssh / "next" / name).exists():
                (ssh / "next" / name).replace(ssh / name)
    if (ssh / "next").is_dir() and not rotation.coming.there():
        shutil.rmtree(ssh / "next")
