"""Runs one script on each of many hosts at once, by processes that speak ssh (`collector_process.py`).

Answers come in order of arrival. Drift reads facts so, the hardening report evidence.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bmk.drift.model import Answer, Trouble

Answered = Literal["facts", "evidence"]  # of drift/facts, of hardening/evidence.py: who parses what a script prints
_SKEW = 5.0  # seconds that two clocks may differ
_FULL = 1024  # KiB: less is a full disk
_SHARD = 16  # hosts from which on a further process pays


@dataclass(frozen=True, slots=True)
class CollectLimits:
    """Seconds for one host from first packet to last line, for its TCP, for its ssh; hosts at once, processes."""

    seconds: float = 120.0
    connect: float = 10.0
    patience: float = 60.0
    parallel: int = 64
    processes: int = max(1, min(4, os.cpu_count() or 1))


@dataclass(frozen=True, slots=True)
class CollectRequest:
    """One host: its address, and the script that it runs."""

    address: str
    script: str


@dataclass(frozen=True, slots=True)
class Keys:
    """The deployer's private key, and the file of pinned host keys."""

    identity: Path
    known_hosts: Path


async def collect(
    questions: Mapping[str, CollectRequest],
    keys: Keys,
    limits: CollectLimits | None = None,
    answered: Answered = "facts",
) -> AsyncIterator[Answer]:
    """One answer for each host, in order of arrival. No host delays another, none is left out."""
    limits = limits or CollectLimits()
    queue: asyncio.Queue[Answer | None] = asyncio.Queue()
    shards = _shards(questions, limits.processes)
    requests = ((shard, _request(shard, keys, limits, len(shards), answered)) for shard in shards)
    tasks = [asyncio.create_task(_shard(shard, request, queue)) for shard, request in requests]
    try:
        open_ = len(tasks)
        while open_:
            answer = await queue.get()
            if answer is None:
                open_ -= 1
            else:
                yield answer
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _shards(questions: Mapping[str, CollectRequest], processes: int) -> list[dict[str, CollectRequest]]:
    count = max(1, min(processes, len(questions) // _SHARD))
    names = list(questions)
    return [{name: questions[name] for name in names[i::count]} for i in range(count) if names]


async def _shard(hosts: Iterable[str], request: bytes, queue: asyncio.Queue[Answer | None]) -> None:
    """One process. A host that it ended without is unknown, with the last line that the process printed."""
    missing, said = set(hosts), b""
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bmk.drift.collector_process",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            limit=64 << 20, start_new_session=True,
        )  # fmt: skip
        errors = asyncio.create_task(_read(process.stderr))
        try:
            async for line in _lines(process, request):
                answer = _answer(json.loads(line))
                missing.discard(answer.host)
                await queue.put(answer)
            said = await errors
        finally:
            _kill(process)
            await process.wait()
    finally:
        for host in sorted(missing):
            text = said.decode(errors="replace").strip().splitlines()[-1:] or ["it ended"]
            queue.put_nowait(Answer(host, troubles=(Trouble("not-asked", f"the collector process failed: {text[0]}"),)))
        queue.put_nowait(None)


async def _lines(process: asyncio.subprocess.Process, request: bytes) -> AsyncIterator[bytes]:
    if process.stdin is None or process.stdout is None:
        return
    process.stdin.write(request)
    await process.stdin.drain()
    process.stdin.close()
    while line := await process.stdout.readline():
        yield line


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    return b"" if stream is None else await stream.read()


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _request(
    questions: Mapping[str, CollectRequest], keys: Keys, limits: CollectLimits, shards: int, answered: Answered
) -> bytes:
    """Hosts of one role share a script, so it is sent once."""
    scripts = {q.script: str(i) for i, q in enumerate({q.script: q for q in questions.values()}.values())}
    body = {
        "answer": answered,
        "identity": str(keys.identity),
        "known_hosts": str(keys.known_hosts),
        "limits": {
            "seconds": limits.seconds,
            "connect": limits.connect,
            "patience": limits.patience,
            "parallel": max(1, limits.parallel // shards),
        },
        "scripts": {number: script for script, number in scripts.items()},
        "hosts": {name: {"address": q.address, "script": scripts[q.script]} for name, q in questions.items()},
    }
    return json.dumps(body).encode()


def _answer(body: Mapping[str, Any]) -> Answer:
    seconds = round(body["ended"] - body["began"], 3)
    if "evidence" in body:
        return Answer(body["host"], body["evidence"], seconds=seconds)
    if "facts" not in body:
        return Answer(body["host"], troubles=(Trouble(body["cause"], body["text"]),), seconds=seconds)
    facts = dict(body["facts"])
    facts["clock"] = _clock(facts.get("clock", {}), body["began"], body["ended"])
    return Answer(body["host"], facts, tuple(_troubles(facts.pop("health", {}))), seconds)


def _clock(said: Mapping[str, Any], began: float, ended: float) -> dict[str, Any]:
    """Right when the host's time lies between question and answer."""
    known = {key: value for key, value in said.items() if key != "time"}
    if "time" in said:
        known["time"] = {"right": began - _SKEW <= said["time"]["now"] <= ended + _SKEW}
    return known


def _troubles(health: Mapping[str, Any]) -> list[Trouble]:
    """Why a host that answers cannot be repaired."""
    found = []
    if not health.get("python", {}).get("there", True):
        found.append(Trouble("no-python", "python3 is missing, so nothing can be repaired there"))
    disk = health.get("disk", {})
    if disk.get("free_kb", _FULL) < _FULL:
        found.append(Trouble("disk-full", f"no space, or no inodes, left on {disk['at']}"))
    return found
