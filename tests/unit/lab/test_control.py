"""The control socket, from client to operation: real sockets, odd requests, errors that arrive as they were."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bmk.datacenter.resolve import DataCenter
from bmk.errors import ConfigError, Unreachable
from bmk.lab import client
from bmk.lab.control import ControlSocket, Operation
from bmk.lab.faults import BrokenImages, Faults
from bmk.lab.host.sockets import short_path
from bmk.lab.machines.hardware import hardware_of
from bmk.lab.machines.machine import Chassis
from bmk.lab.operations import Operations


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[dict[str, Operation]], None]]:
    """Serves operations for the data center `hall`, in a state directory whose path is longer than a socket's."""
    state = tmp_path / ("long" * 40)
    monkeypatch.setattr(client, "control_socket", lambda dc: state / "control.sock")
    state.mkdir(parents=True)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def serve(operations: dict[str, Operation]) -> None:
        asyncio.run_coroutine_threadsafe(ControlSocket(state / "control.sock", operations).serve(), loop).result(10)

    yield serve
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


@pytest.fixture
def operations(hall: DataCenter, tmp_path: Path) -> Operations:
    """Operations on machines that nobody started."""
    machines = {
        name: Chassis(hardware, tmp_path / name, lambda *_: None) for name, hardware in hardware_of(hall).items()
    }
    faults = Faults(machines, BrokenImages(tmp_path / "broken"), lambda: [])
    lab: Any = SimpleNamespace(
        machines=machines, by_bmc={m.hardware.bmc.address: m for m in machines.values()}, faults=faults, dc=hall,
        ended=asyncio.Event(),
    )  # fmt: skip
    return Operations(lab)


def test_an_answer_arrives(served: Any) -> None:
    """Arguments go there, the answer comes back, at a path that is too long for a socket."""

    async def echo(question: dict[str, Any]) -> dict[str, Any]:
        return {"said": question["word"]}

    served({"echo": echo})
    assert client.request("hall", "echo", word="x") == {"said": "x"}


def test_an_error_arrives_as_what_it_was(served: Any) -> None:
    """Its class, text and next step are those of the lab; the lab goes on."""

    async def refuse(_: dict[str, Any]) -> dict[str, Any]:
        raise ConfigError("no such machine", hint="bmk lab status")

    served({"refuse": refuse})
    for _ in range(2):
        with pytest.raises(ConfigError, match="no such machine") as error:
            client.request("hall", "refuse")
        assert error.value.hint == "bmk lab status"


def test_without_a_lab_the_error_says_how_to_start_one(served: Any) -> None:
    """Nobody listens: the next command is in the error."""
    with pytest.raises(Unreachable) as error:
        client.request("hall", "status")
    assert error.value.hint == "bmk lab up hall"
    assert not client.is_up("hall")


@pytest.mark.parametrize("line", [b"[]\n", b"nonsense\n", b'{"op": []}\n', b'{"op": "power"}\n', b"{}\n", b"\xff\n"])
def test_an_odd_request_gets_an_error(served: Any, operations: Operations, line: bytes) -> None:
    """Whatever one line holds, the answer is one line, and the next request is served."""
    served(operations.table())
    with short_path(client.control_socket("hall")) as path, socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(line)
        answer = json.loads(sock.makefile("rb").readline())
    assert answer["ok"] is False
    assert client.request("hall", "list", bmc="10.2.0.99") == {"machines": []}


@pytest.mark.parametrize(
    ("op", "question", "words"),
    [
        ("power", {"machine": "none", "action": "on"}, "there is no machine 'none'"),
        ("power", {"machine": "one", "action": "explode"}, "'explode' is none of on, off"),
        ("boot", {"machine": "one", "target": "tape", "enabled": "once"}, "'tape' is none of pxe"),
        ("boot", {"machine": "one", "target": "pxe", "enabled": "maybe"}, "'maybe' is none of once"),
        ("fault", {"machine": "one", "fault": "bad-luck"}, "bad-luck"),
        ("preseed", {"machine": "one"}, "only system containers"),
    ],
)
def test_bad_requests_are_refused_with_what_there_is(
    operations: Operations, op: str, question: dict[str, Any], words: str
) -> None:
    """An unknown machine, action, target or fault changes nothing and names the choices."""
    with pytest.raises(ConfigError, match=words):
        asyncio.run(operations.table()[op](dict(question)))


def test_machines_are_found_by_their_bmc(operations: Operations) -> None:
    """An emulated BMC asks for its own machine at every request."""
    answer = asyncio.run(operations.list({"bmc": "10.2.0.12"}))
    assert [machine["name"] for machine in answer["machines"]] == ["two"]
    assert len(asyncio.run(operations.list({}))["machines"]) == 2


def test_a_boot_override_is_kept(operations: Operations) -> None:
    """What was set is what the machine shows."""
    answer = asyncio.run(operations.boot({"machine": "one", "target": "pxe", "enabled": "once"}))
    assert answer == {"boot": {"target": "pxe", "enabled": "once"}}
