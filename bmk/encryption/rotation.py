"""The way to a new key of secrets at rest, one step after the other, decided by what is on the control planes. Pure.

added      the new key is second in every file, and every API server has begun with it: all can read what it will write
first      it is first in every file, and every API server has begun with that: nobody writes with the old one any more
rewritten  nothing in etcd is under another key
dropped    it is the only key of every file, and every API server has begun with that

An API server knows the keys that its file had when it began, writes with the first and reads with all, and may begin
anew at any moment without being asked. So at any moment every file, and every API server, has every key with which one
of them writes or would write if it began now, and every key that something in etcd is under. Each step keeps that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bmk.encryption.keys import Key, PlaneKeys

Stage = Literal["added", "first", "rewritten", "dropped"]
STAGES: tuple[Stage, ...] = ("added", "first", "rewritten", "dropped")
_FILES: tuple[Stage, ...] = ("added", "first", "dropped")  # what a file may have, in the order of the way
_NUMBERED = re.compile(r"key(\d{1,6})")
_MOST = 16  # keys of one file; one or two of ours


@dataclass(frozen=True, slots=True)
class RotationStep:
    """`put`: the file of a host gets these keys; `restart`: its API server begins anew; `rewrite`: what is not under
    the new key; `finish`: all is done, and that goes on record.
    """

    act: Literal["put", "restart", "rewrite", "finish"]
    stage: Stage
    host: str = ""
    keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.act == "put":
            return f"{self.host}: keys {', '.join(self.keys)}"
        words = {"rewrite": "rewrite secrets that are under another key", "finish": "the rotation is over"}
        return words.get(self.act) or f"{self.host}: start kube-apiserver again"


def next_name(planes: Iterable[PlaneKeys]) -> str:
    """A name that no key has: etcd names the key of each object, so a name is never used again."""
    numbers = [int(found[1]) for p in planes for name in p.names if (found := _NUMBERED.fullmatch(name))]
    return f"key{max(numbers, default=0) + 1}"


def next_step(planes: Sequence[PlaneKeys], target: str, *, proven: bool = False) -> RotationStep:
    """What comes next. `proven`: nothing in etcd is under another key, seen after all were at `first`."""
    lowest = min(_level(p, target) for p in planes)
    # Those that are behind begin anew first: what they have and write is known to all others.
    waiting = sorted((p for p in planes if not p.loaded), key=lambda p: _level(p, target))
    if lowest > 0 and waiting:
        return RotationStep("restart", _FILES[_level(waiting[0], target) - 1], waiting[0].host)
    if lowest == len(_FILES):
        return RotationStep("finish", "dropped")
    if _FILES[lowest] == "dropped" and not proven:
        return RotationStep("rewrite", "rewritten")
    behind = next(p for p in planes if _level(p, target) == lowest)
    return RotationStep("put", _FILES[lowest], behind.host, wanted(behind.names, target, _FILES[lowest]))


def wanted(names: Sequence[str], target: str, stage: Stage) -> tuple[str, ...]:
    """The keys of a file at this stage, from those that it has."""
    others = [name for name in names if name != target]
    if stage == "added":
        return (*others[:1], target, *others[1:])
    return (target, *others) if stage == "first" else (target,)


def way(planes: Sequence[PlaneKeys], target: str) -> Iterator[RotationStep]:
    """All steps from here, when nothing goes wrong."""
    proven, now = False, list(planes)
    while True:
        step = next_step(now, target, proven=proven)
        yield step
        if step.act == "finish":
            return
        proven = proven or step.act == "rewrite"
        now = [after(p, step) if p.host == step.host else p for p in now]


def after(plane: PlaneKeys, step: RotationStep) -> PlaneKeys:
    """A control plane once a step that is about it was taken."""
    if step.act != "put":
        return replace(plane, loaded=True)
    known = {key.name: key for key in plane.keys}
    return replace(plane, keys=tuple(known.get(name, Key(name)) for name in step.keys), loaded=False)


def contradiction(planes: Sequence[PlaneKeys], target: str) -> str:
    """Why no step would be safe, whatever the stage; "": none of that."""
    found = [f"{p.host} has no file of bmk with keys" for p in planes if not p.keys]
    found += [f"{p.host} has {len(p.keys)} keys" for p in planes if len(p.keys) > _MOST]
    found += [f"{p.host} has two keys of one name" for p in planes if len(set(p.names)) < len(p.names)]
    digests: dict[str, dict[str, str]] = {}
    for p in planes:
        for key in p.keys:
            digests.setdefault(key.name, {})[key.digest] = p.host
    found += [f"{name} is another key on {' and '.join(of.values())}" for name, of in digests.items() if len(of) > 1]
    for writer in (p for p in planes if p.keys):
        name = writer.names[0]
        lacking = [p.host for p in planes if name not in p.names and name != target]
        found += [f"{writer.host} writes with {name}, which {', '.join(lacking)} cannot read"] if lacking else []
    return "; ".join(found)


def unreadable(planes: Sequence[PlaneKeys], under: Iterable[str]) -> str:
    """Keys that something in etcd is under (`under`) and that not every control plane has; "": none."""
    found = {name: [p.host for p in planes if name not in p.names] for name in under if name}
    return "; ".join(f"secrets are under {name}, which {', '.join(of)} lacks" for name, of in found.items() if of)


def _level(plane: PlaneKeys, target: str) -> int:
    """0: without the new key; then 1 to 3, as `_FILES`."""
    if target not in plane.names:
        return 0
    if plane.names[0] != target:
        return 1
    return 3 if len(plane.names) == 1 else 2
