"""The ordinary daemons of a lab (dnsmasq, nginx, registry, boot service, BMC emulators) as children of the supervisor.

One that ends is started again, with a pause that doubles up to ten seconds; its output is kept in
`lab/services/<name>.log`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bmk.errors import BmkError
from bmk.lab.machine import Say

_LONGEST_PAUSE = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class Service:
    """A command that stays in the foreground. `environment` is added to the supervisor's; `answers`: where, by TCP."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    answers: tuple[str, int] | None = None


async def _answers(where: tuple[str, int] | None) -> bool:
    if where is None:
        return True
    try:
        _, writer = await asyncio.open_connection(*where)
    except OSError:
        return False
    writer.close()
    return True


class Services:
    """Starts them, keeps them going, says when one ends."""

    def __init__(self, logs: Path, say: Say) -> None:
        self._logs, self._say = logs, say
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self.restarts: dict[str, int] = {}

    def start(self, service: Service) -> None:
        """Start it, unless one of that name is there already."""
        if service.name in self._tasks:
            return
        self._logs.mkdir(parents=True, exist_ok=True)
        self.restarts[service.name] = 0
        self._tasks[service.name] = asyncio.create_task(self._keep(service))

    async def _keep(self, service: Service) -> None:
        pause = 0.25
        while True:
            began = asyncio.get_running_loop().time()
            code = await self._once(service)
            if asyncio.get_running_loop().time() - began > 60:
                pause = 0.25
            self.restarts[service.name] += 1
            self._say("lab.service", f"{service.name} ended with {code}; started again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _once(self, service: Service) -> int:
        with (self._logs / f"{service.name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *service.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **service.environment},
            )
        self._processes[service.name] = process
        return await process.wait()

    async def ready(self, services: Iterable[Service], on_wait: Callable[[str], None]) -> None:
        """Wait until each of them runs and answers; `on_wait` hears the name of the one that is waited for."""
        for service in services:
            on_wait(service.name)
            while not (self._running(service.name) and await _answers(service.answers)):
                await asyncio.sleep(0.05)

    def require(self, name: str) -> None:
        """Raise BmkError with the end of its log when it ended three times: it will not come up by itself."""
        if self.restarts[name] > 2:
            log = self._logs / f"{name}.log"
            why = log.read_text(errors="replace")[-500:].strip() or "it said nothing"
            hint = "mend what its log says, then bmk lab up again"
            raise BmkError(f"{name} does not stay up", where=str(log), why=why, hint=hint)

    async def restart(self, names: Iterable[str]) -> None:
        """End these; they are started again at once."""
        for name in names:
            if self._running(name):
                self._processes[name].terminate()
                await self._processes[name].wait()

    def show(self) -> list[dict[str, object]]:
        """Name, state and restarts of each, for `bmk lab status`."""
        return [
            {
                "name": name,
                "running": self._running(name),
                "restarts": self.restarts[name],
                "log": str(self._logs / f"{name}.log"),
            }
            for name in self._tasks
        ]

    def _running(self, name: str) -> bool:
        process = self._processes.get(name)
        return process is not None and process.returncode is None

    async def stop(self) -> None:
        """End all of them, politely for two seconds."""
        for task in self._tasks.values():
            task.cancel()
        living = [p for p in self._processes.values() if p.returncode is None]
        for process in living:
            process.terminate()
        if living:
            _, late = await asyncio.wait([asyncio.ensure_future(p.wait()) for p in living], timeout=2)
            for process in (p for p in living if late and p.returncode is None):
                process.kill()
        self._tasks.clear()
