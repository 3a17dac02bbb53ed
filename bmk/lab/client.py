"""Client of the lab's control socket, for any process: JSON lines, one request per connection."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any, cast

from bmk.errors import BmkError, Unreachable, raised
from bmk.lab.host.sockets import short_path
from bmk.paths import state_dir


def control_socket(dc: str) -> Path:
    return state_dir(dc) / "lab" / "control.sock"


def request(dc: str, op: str, *, patience: float = 60.0, **arguments: Any) -> dict[str, Any]:
    """The answer to one operation. Unreachable: no lab is up. BmkError: the lab refused. `patience` in seconds."""
    path = control_socket(dc)
    try:
        with short_path(path) as name, socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(patience)
            sock.connect(name)
            sock.sendall(json.dumps({"op": op, **arguments}).encode() + b"\n")
            with sock.makefile("rb") as lines:
                text = lines.readline()
    except OSError as error:
        raise Unreachable(
            f"the lab of {dc} does not answer", where=str(path), why=str(error), hint=f"bmk lab up {dc}"
        ) from error
    return _checked(dc, text)


def _checked(dc: str, text: bytes) -> dict[str, Any]:
    if not text:
        raise Unreachable(f"the lab of {dc} went away", hint=f"bmk lab up {dc}")
    answer = cast(dict[str, Any], json.loads(text))
    if not answer.pop("ok"):
        raise raised(answer)
    return answer


def is_up(dc: str) -> bool:
    """Whether a supervisor answers."""
    try:
        request(dc, "status", patience=5)
    except BmkError:
        return False
    return True
