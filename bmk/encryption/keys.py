"""Keys of secrets at rest as they are seen on control planes, by name and digest. Pure; no key is in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bmk.secrets import Secret


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a file. `digest`: sha256 of the key in hexadecimal; "" of one that is not made yet."""

    name: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class PlaneKeys:
    """What a control plane has. `keys`: of its file, the one that is written with first; none: no file of ours.

    `sha256` is of the file. `loaded`: its API server began after the file was put there, so it has these keys and no
    others. `ready`: its API server says that it is.
    """

    host: str
    keys: tuple[Key, ...]
    sha256: str = ""
    loaded: bool = True
    ready: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(key.name for key in self.keys)


@dataclass(frozen=True, slots=True)
class KeysSeen:
    """Control planes of a cluster that answered, the `target` of a rotation, and what is in its way (`refused`; "":
    nothing) with the next command.
    """

    planes: tuple[PlaneKeys, ...]
    target: str
    refused: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class KeyText:
    """A file with keys as it is to be put on a control plane, and the sha256 of it."""

    text: Secret
    sha256: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """A part of a walk over all secrets in etcd. `seen`: how many were under which key; "": not encrypted.

    `rewritten` of those that were not under the wanted key; `failed`: namespace/name and why. `after` is where the next
    part begins; "": this was the last. `revision` of etcd when it was read.
    """

    seen: Mapping[str, int]
    rewritten: int = 0
    failed: Sequence[tuple[str, str]] = ()
    after: str = ""
    revision: int = 0
