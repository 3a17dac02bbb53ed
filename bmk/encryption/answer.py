"""What is asked of a control plane about keys at rest, and its answer, which may be anything, as a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from bmk.certificates.answer import read_answer
from bmk.hardening.apiserver import ENCRYPTION

_ON_NODE = Path(__file__).with_name("on_node.py")
PROGRAM = ("python3", "-I", "-B", "-")  # on the control plane; reads what `program` returns
PART = 60.0  # seconds of one part of a walk over all secrets
SECONDS = {"look": 30, "give": 30, "put": 300, "restart": 300, "sweep": 300, "compact": 180}
Act = Literal["look", "give", "put", "restart", "sweep", "compact"]


@dataclass(frozen=True, slots=True)
class PlanePlaces:
    """Where things are on a control plane; the paths are for tests, which have no host of their own.

    `etcdctl`: its words with endpoint and keys. `address` and `port` of its own API server.
    """

    address: str
    etcdctl: Sequence[str]
    port: int = 6443
    file: str = ENCRYPTION
    marker: str = "/run/bmk-encryption.json"
    lock: str = "/run/bmk-kubeadm.lock"
    admin: str = "/etc/kubernetes/admin.conf"


def program(plane: PlanePlaces, act: Act, **more: Any) -> bytes:
    """For the standard input of `PROGRAM`: it may hold a key (`put`), and is on no command line."""
    asked = {**asdict(plane), "part": PART, "seconds": SECONDS[act], **more}
    return f"{_ON_NODE.read_text()}\n\nrun(json.loads({json.dumps(json.dumps(asked))}), {act!r})\n".encode()


class _Answer(BaseModel):
    """`why` it could not be done; "": it was."""

    model_config = ConfigDict(extra="ignore", strict=True)
    why: Annotated[str, Field(max_length=2000)]


_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Count = Annotated[int, Field(ge=0, lt=2**63)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class KeyPart(_Part):
    """A key by its name; `digest`: its sha256."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,63}$")]
    digest: _Digest


class LookAnswer(_Answer):
    keys: Annotated[list[KeyPart], Field(max_length=32)] = []
    sha256: _Digest = "0" * 64
    loaded: bool = False
    ready: bool = False


class GiveAnswer(_Answer):
    text: Annotated[str, Field(max_length=1 << 16, repr=False)] = ""


class DoneAnswer(_Answer):
    pass


class FailedPart(_Part):
    """A secret by namespace and name, and why it was not written anew."""

    what: Annotated[str, Field(max_length=600)]
    why: Annotated[str, Field(max_length=500)]


class SweepAnswer(_Answer):
    seen: Annotated[dict[Annotated[str, Field(max_length=300)], _Count], Field(max_length=100)] = {}
    rewritten: _Count = 0
    failed: Annotated[list[FailedPart], Field(max_length=100)] = []
    after: Annotated[str, Field(max_length=1000)] = ""
    revision: _Count = 0


A = TypeVar("A", bound=_Answer)


def understood(model: type[A], stdout: str) -> A:
    """Raises BmkError for what is none of ours. pydantic's words of a wrong text never show the text."""
    return read_answer(model, stdout)
