"""QEMU's protocol over a real socket pair: answers, events, refusals and an end at any time."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bmk.errors import Unreachable
from bmk.lab.machines.qmp import Qmp

Said = list[tuple[str, dict[str, Any]]]


async def qemu(sock: socket.socket, replies: list[list[dict[str, Any]]], greet: bool = True) -> list[str]:
    """The other side: greets, then answers each command with the next lines, then hangs up. Returns the commands."""
    reader, writer = await asyncio.open_connection(sock=sock)
    commands = []
    if greet:
        writer.write(b'{"QMP": {}}\n')
        for lines in [[{"return": {}}], *replies]:
            commands.append(json.loads(await reader.readline())["execute"])
            writer.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    writer.close()
    return commands


def talk(
    replies: list[list[dict[str, Any]]], what: Callable[[Qmp], Awaitable[Any]], greet: bool = True
) -> tuple[Any, list[str], Said]:
    """The result of `what`, the commands that QEMU got, and the events that were reported."""

    async def both() -> tuple[Any, list[str], Said]:
        ours, theirs = socket.socketpair()
        events: Said = []
        qmp = Qmp(lambda name, data: events.append((name, data)))
        other = asyncio.create_task(qemu(theirs, replies, greet))
        try:
            await qmp.connect(ours)
            return await what(qmp), await other, events
        finally:
            await qmp.close()

    return asyncio.run(both())


def test_a_command_returns_its_answer_and_events_are_told_apart() -> None:
    """An event between question and answer is reported and does not become the answer."""
    event = {"event": "RESET", "data": {"guest": True}}
    result, commands, events = talk([[event, {"return": {"status": "running"}}]], lambda q: q.command("query-status"))
    assert result == {"status": "running"}
    assert commands == ["qmp_capabilities", "query-status"]
    assert events == [("RESET", {"guest": True})]


def test_a_refusal_says_why() -> None:
    """QEMU's own words are in the error."""
    with pytest.raises(Unreachable, match="refused") as error:
        talk([[{"error": {"desc": "no such device"}}]], lambda q: q.command("eject"))
    assert error.value.why == "no such device"


def test_an_end_instead_of_an_answer_is_an_error() -> None:
    """Whoever waits when the process ends is released."""
    with pytest.raises(Unreachable, match="stop") as error:
        talk([[]], lambda q: q.command("stop"))
    assert "went away" in error.value.why


def test_a_command_after_the_end_is_refused_at_once() -> None:
    """Nothing is sent to a machine that is gone, and nobody waits for it."""

    async def late(qmp: Qmp) -> None:
        await qmp.ended()
        await qmp.command("cont")

    with pytest.raises(Unreachable, match="gone"):
        talk([], late)


def test_a_process_that_never_greets_is_an_error() -> None:
    """QEMU that ends at its start is not waited for."""
    with pytest.raises(Unreachable, match="before it spoke"):
        talk([], lambda q: q.command("stop"), greet=False)
