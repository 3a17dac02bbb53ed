"""What is asked of a host, and its answer, which may be anything, as a model."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bmk.certificates.certificate import LONGEST, from_pem
from bmk.certificates.kind import STATIC_PODS
from bmk.certificates.kinds import KINDS
from bmk.certificates.standing import FileSeen
from bmk.errors import BmkError

_ON_NODE = Path(__file__).with_name("on_node.py")
_MARK, _END = "@bmk@", "BMK-END-OF-PROGRAM"
_Moment = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]  # seconds since the epoch
M = TypeVar("M", bound=BaseModel)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class FileAnswer(_Answer):
    """Of one file: certificates in PEM; whether its key belongs to it; why it could not be read."""

    pem: Annotated[str, Field(max_length=LONGEST)]
    changed: _Moment
    pair: bool
    problem: Annotated[str, Field(max_length=200)]

    def seen(self) -> FileSeen:
        problem = "".join(c if c.isprintable() else "?" for c in self.problem)
        try:
            return FileSeen(None if problem else from_pem(self.pem), self.changed, self.pair, problem)
        except ValueError as error:
            return FileSeen(None, self.changed, self.pair, str(error)[:200])


class HostAnswer(_Answer):
    """Files by path, when programs began, which of them are well."""

    files: Annotated[dict[str, FileAnswer], Field(max_length=100)]
    started: Annotated[dict[str, _Moment], Field(max_length=20)]
    healthy: Annotated[list[str], Field(max_length=20)]


class RenewalAnswer(_Answer):
    """Whether all was done; else what failed, and what was said about it."""

    done: bool
    failed: Annotated[str, Field(max_length=200)]
    why: Annotated[str, Field(max_length=2000)]


def look_program(role: str, address: str) -> str:
    """For the standard input of `python3 -I -B -`; prints what `read_answer` takes as HostAnswer."""
    files = [(kind.path, kind.key) for kind in KINDS if kind.place == "host" and role in kind.roles]
    pods = [(pod.name, pod.reads, pod.health.format(address=address)) for pod in STATIC_PODS]
    return _program("look", {"files": files, "programs": pods if role == "control_plane" else []})


def renew_program(renew: Iterable[str], program: str, owners: str) -> str:
    """Prints what `read_answer` takes as RenewalAnswer. `owners`: systemd's file of whose kubeadm's files are."""
    reads = next((pod.reads for pod in STATIC_PODS if pod.name == program), "")
    return _program("renew", {"renew": list(renew), "program": [program, reads], "owners": owners})


def script(program: str) -> str:
    """The program for `sh -s`, as many hosts are asked at once."""
    return f"exec python3 -I -B - <<'{_END}'\n{program}\n{_END}\n"


def understood(model: type[M], said: Any) -> M:
    """An answer whose JSON was read already. Raises BmkError."""
    try:
        return model.model_validate(said)
    except (ValueError, RecursionError) as error:
        why = str(error.errors()[0]["msg"]) if isinstance(error, ValidationError) else type(error).__name__
        raise BmkError("the host's answer cannot be understood", why=why[:200]) from None


def read_answer(model: type[M], stdout: str) -> M:
    """Raises BmkError for what is none: something else speaks in the program's place, or it ended before."""
    said = next((line for line in reversed(stdout.splitlines()) if line.startswith(_MARK)), _MARK)
    try:
        body = json.loads(said.removeprefix(_MARK))
    except (ValueError, RecursionError):
        body = None
    return understood(model, body)


def _program(function: str, asked: dict[str, Any]) -> str:
    return f"{_ON_NODE.read_text()}\n\n{function}(json.loads({json.dumps(json.dumps(asked))}))\n"
