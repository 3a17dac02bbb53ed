"""Runs a script on many hosts by pyinfra and prints the answers. A process of its own: gevent patches the process.

    python -m bmk.drift.collector_process < request.json        one line of JSON for each host, as soon as it is done

One connection and one command for each host; the host key has to be the pinned one. The only module that knows pyinfra.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
from gevent.pool import Pool
from pyinfra.api.config import Config
from pyinfra.api.exceptions import ConnectError
from pyinfra.api.facts import FactBase, get_fact
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State

from bmk.drift.facts import ALL, read
from bmk.hardening.evidence import evidence
from bmk.ssh import login_key

ENOUGH = 8 << 20  # bytes of one answer; our script prints less
LONGEST_LINE = 60 << 20  # characters of one answer as JSON; its reader takes 64 MiB
_BLOCK = 1 << 18


class HostScript(FactBase[list[str]]):
    """The script for a host, on standard input."""

    def command(self) -> str:
        return "exec sh -s"

    def process(self, output: list[str]) -> list[str]:
        return output

    @staticmethod
    def default() -> list[str]:
        return []


@dataclass(frozen=True, slots=True)
class Task:
    """What a host is asked for (a key of `_PARSERS`), the script that it runs, seconds for all of it."""

    kind: str
    script: str
    seconds: float


# Each raises ValueError for lines that it cannot read.
_PARSERS: dict[str, Callable[[Sequence[str]], Mapping[str, Any]]] = {
    "facts": lambda lines: read(lines, ALL),
    "evidence": evidence,
}


def main() -> None:
    """Read the request, answer host by host."""
    request = json.load(sys.stdin)
    logging.disable(logging.CRITICAL)
    limits = request["limits"]
    state = _state(request)
    kind, scripts = request["answer"], request["scripts"]

    def ask(host: Any) -> dict[str, Any]:
        return _ask(state, host, Task(kind, scripts[request["hosts"][host.name]["script"]], limits["seconds"]))

    for answer in Pool(limits["parallel"]).imap_unordered(ask, list(state.inventory)):
        sys.stdout.write(_line(answer) + "\n")
        sys.stdout.flush()


def _line(answer: dict[str, Any]) -> str:
    """The answer, or that it is too long: one answer must not cost those of other hosts."""
    line = json.dumps(answer)
    if len(line) <= LONGEST_LINE:
        return line
    kept = {key: answer[key] for key in ("host", "began", "ended")}
    return json.dumps({**kept, "cause": "garbage", "text": "its answer is too long"})


def _state(request: dict[str, Any]) -> State:
    key = Path(request["identity"])
    data = {
        "ssh_user": "root",
        "ssh_known_hosts_file": request["known_hosts"],
        "ssh_config_file": "/dev/null",
        **dict.fromkeys(("ssh_allow_agent", "ssh_look_for_keys", "ssh_forward_agent"), False),
        "ssh_strict_host_key_checking": "yes",
    }
    patience = dict.fromkeys(("banner_timeout", "auth_timeout", "channel_timeout"), request["limits"]["patience"])
    hosts = [
        # A key object for each host: one of an agent is a connection to the agent, which takes one request at a time.
        (name, {"ssh_hostname": host["address"], "ssh_paramiko_connect_kwargs": {"pkey": login_key(key), **patience}})
        for name, host in request["hosts"].items()
    ]
    config = Config(  # type: ignore[no-untyped-call]  # pyinfra has no types
        CONNECT_TIMEOUT=request["limits"]["connect"], PARALLEL=max(1, len(hosts))
    )
    return State(Inventory((hosts, data)), config)  # type: ignore[no-untyped-call]  # pyinfra has no types


def _ask(state: State, host: Any, task: Task) -> dict[str, Any]:
    """The answer of one host, within its time. Never raises."""
    began = time.time()
    answer: dict[str, Any] = {"host": host.name, "began": began}
    try:
        with gevent.Timeout(task.seconds):
            answer |= _facts(state, host, task)
    except gevent.Timeout:
        answer |= {"cause": "hangs", "text": f"no whole answer within {task.seconds:g} s"}
    except ConnectError as error:
        answer |= _refused(str(error))
    except Exception as error:  # the host chose the answer, so anything may fail
        answer |= {"cause": "silent", "text": f"{type(error).__name__}: {error}"[:300]}
    finally:
        client = getattr(host.connector, "client", None)
        if client is not None:
            client.close()
    return answer | {"ended": time.time()}


def _facts(state: State, host: Any, task: Task) -> dict[str, Any]:
    host.connect(show_errors=False, raise_exceptions=True)
    _bound(host.connector.client)
    lines = get_fact(state, host, HostScript, kwargs={"_stdin": [task.script]}, apply_failed_hosts=False)
    try:
        return {task.kind: _PARSERS[task.kind](lines)}
    except ValueError as error:
        return {"cause": "garbage", "text": f"its answer cannot be read: {error}"[:300]}


def _refused(said: str) -> dict[str, Any]:
    """The cause from pyinfra's words, which are all that its errors have."""
    for words, cause in _CAUSES:
        if words in said.lower():
            return {"cause": cause, "text": said[:300]}
    return {"cause": "silent", "text": said[:300]}


_CAUSES = (
    ("host key for", "wrong-key"),
    ("no host key", "wrong-key"),
    ("not found in known_hosts", "wrong-key"),
    ("authentication", "refused"),
)


class _Bounded:
    """The lines of a channel, of any bytes, up to ENOUGH."""

    def __init__(self, channel: Any, receive: Callable[[int], bytes]) -> None:
        self.channel, self._receive = channel, receive

    def __iter__(self) -> Iterator[str]:
        said, rest = 0, b""
        while said < ENOUGH and (block := self._receive(_BLOCK)):
            said += len(block)
            *lines, rest = (rest + block).split(b"\n")
            yield from (line.decode(errors="replace") for line in lines)
        if rest:
            yield rest.decode(errors="replace")
        if said >= ENOUGH:
            self.channel.close()


def _bound(client: Any) -> None:
    run = client.exec_command

    def bounded(*arguments: Any, **more: Any) -> Sequence[Any]:
        stdin, stdout, _ = run(*arguments, **more)
        channel = stdout.channel
        return stdin, _Bounded(channel, channel.recv), _Bounded(channel, channel.recv_stderr)

    client.exec_command = bounded


if __name__ == "__main__":
    main()
