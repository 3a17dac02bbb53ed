"""Keys of secrets at rest on control planes: looked at, gathered, put there, and what is under them, by ssh.

Keys pass through the memory of this process from one control plane to the other, as with the ticket of a join.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from bmk.ansible.module_utils.bmk_key_file import ENCRYPTION, configuration, key, keys_of
from bmk.cluster.etcd import etcdctl
from bmk.datacenter.resolve import DataCenter, Host
from bmk.drift import baseline as baselines
from bmk.encryption.answer import (
    PROGRAM,
    SECONDS,
    Act,
    DoneAnswer,
    GiveAnswer,
    LookAnswer,
    PlanePlaces,
    SweepAnswer,
    program,
    understood,
)
from bmk.encryption.keys import Key, KeyText, PlaneKeys, Sweep
from bmk.errors import BmkError, PhaseFailed, Unreachable
from bmk.journal import Journal
from bmk.journal.quoted import plain
from bmk.permit import demand
from bmk.secrets import Secret
from bmk.ssh import CommandResult

_NAME = re.compile(r"[A-Za-z0-9._-]{1,63}")
_MORE = 30.0  # seconds for the way of an answer, beyond those of the program
A = TypeVar("A", LookAnswer, GiveAnswer, DoneAnswer, SweepAnswer)


@dataclass(frozen=True, slots=True)
class ControlPlanes:
    """How control planes of a data center are asked: `run` has a host execute a program that it gets on stdin.

    `place`: where things are on a host.
    """

    dc: DataCenter
    journal: Journal
    run: Callable[[Host, Sequence[str], bytes, float], CommandResult]
    place: Callable[[Host], PlanePlaces] = lambda host: PlanePlaces(str(host.address), etcdctl())


def look(on: ControlPlanes, host: Host) -> PlaneKeys:
    """Raises Unreachable when it does not say."""
    said = _asked(on, host, "look", LookAnswer)
    keys = tuple(Key(part.name, part.digest) for part in said.keys)
    return PlaneKeys(host.name, keys, said.sha256, said.loaded, said.ready)


def key_text(on: ControlPlanes, hosts: Sequence[Host], names: Sequence[str], fresh: str) -> KeyText:
    """A file with these keys, of those that control planes have. `fresh`: this one is made when none of them has it.

    Raises PhaseFailed when a key is not there, or two of them have another one of the same name.
    """
    known: dict[str, Secret] = {}
    for host in hosts:
        for name, secret in _keys(on, host).items():
            if known.setdefault(name, secret) != secret:
                raise PhaseFailed(f"{name} is another key here than elsewhere", where=host.name, hint=_compare(on))
    if fresh and fresh not in known:
        known[fresh] = Secret(key(fresh, secrets.token_bytes(32))["secret"])
    if missing := [name for name in names if name not in known]:
        raise PhaseFailed(f"no control plane has {', '.join(missing)}", where=hosts[0].cluster or "", hint=_compare(on))
    text = configuration([{"name": name, "secret": known[name].reveal()} for name in names])
    return KeyText(Secret(text), hashlib.sha256(text.encode()).hexdigest())


def put(on: ControlPlanes, host: Host, text: KeyText, before: str) -> None:
    """Replace the file, whose sha256 was `before`. Raises PhaseFailed when it is another by now."""
    demand()
    _asked(on, host, "put", DoneAnswer, text=text.text.reveal(), before=before)


def restart(on: ControlPlanes, host: Host) -> None:
    """Have the API server begin anew; does not wait for it."""
    demand()
    _asked(on, host, "restart", DoneAnswer)


def sweep(on: ControlPlanes, host: Host, wanted: str, start: str) -> Sweep:
    """A part of the walk over all secrets from `start` on; what is not under `wanted` is written anew ("": nothing)."""
    demand()
    said = _asked(on, host, "sweep", SweepAnswer, key=wanted, after=start, rewrite=bool(wanted))
    failed = tuple((plain(one.what, 300), plain(one.why, 300)) for one in said.failed)
    seen = {plain(name, 63): count for name, count in said.seen.items()}
    return Sweep(seen, said.rewritten, failed, said.after, said.revision)


def compact(on: ControlPlanes, host: Host, revision: int) -> None:
    """Have etcd forget what was before a revision."""
    demand()
    _asked(on, host, "compact", DoneAnswer, revision=revision)


def accept(on: ControlPlanes, host: Host, sha256: str) -> None:
    """Update the baseline, so that drift compares with the file that the rotation left."""
    baseline = baselines.newest(on.journal, host.name)
    files = dict(baseline.facts.get("files", {})) if baseline is not None else {}
    item = dict(files.get(ENCRYPTION, {}))
    if baseline is None or not item or item.get("sha256") == sha256:
        return
    files[ENCRYPTION] = {**item, "sha256": sha256}
    baselines.store(on.journal, replace(baseline, at=time.time(), facts={**baseline.facts, "files": files}))


def _keys(on: ControlPlanes, host: Host) -> dict[str, Secret]:
    """Of a file of ours; others are refused when they are looked at."""
    found = keys_of(_asked(on, host, "give", GiveAnswer).text)
    if not all(_is_key(one) for one in found):
        raise PhaseFailed("its file with encryption keys is not as bmk writes it", where=host.name, hint=_compare(on))
    return {one["name"]: Secret(one["secret"]) for one in found}


def _is_key(one: dict[str, Any]) -> bool:
    name, secret = one["name"], one["secret"]
    if set(one) != {"name", "secret"} or not isinstance(name, str) or not isinstance(secret, str):
        return False
    whole = base64.b64encode(base64.b64decode(secret)).decode() == secret
    return _NAME.fullmatch(name) is not None and whole


def _compare(on: ControlPlanes) -> str:
    return f"bmk hardening {on.dc.name}; compare {ENCRYPTION} of the control planes"


def _asked(on: ControlPlanes, host: Host, act: Act, model: type[A], **more: Any) -> A:
    """Raises PhaseFailed with what the host says against it. No error shows what was sent."""
    said = on.run(host, PROGRAM, program(on.place(host), act, **more), SECONDS[act] + _MORE)
    try:
        answer: A = understood(model, said.out)
    except BmkError as error:
        raise Unreachable(error.what, where=host.name, why=error.why) from None
    if answer.why:
        kind = Unreachable if act in ("look", "sweep", "compact") else PhaseFailed
        raise kind(
            _WORDS[act],
            where=host.name,
            why=plain(answer.why, 500),
            hint=f"bmk ssh {on.dc.name} {host.name} to look; the same command goes on",
        )
    return answer


_WORDS = {
    "look": "its encryption keys cannot be looked at",
    "give": "its encryption keys cannot be read",
    "put": "its encryption keys were not replaced",
    "restart": "its API server was not started again",
    "sweep": "secrets in etcd cannot be walked over",
    "compact": "etcd does not compact",
}
