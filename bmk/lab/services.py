"""The ordinary daemons of a lab (dnsmasq, nginx, registry, boot service, BMC emulators) as children of the supervisor.

One that ends is started again, with a pause that doubles up to ten seconds; its output is kept in
`lab/services/<name>.log`. One that ends several times in a row, or cannot be started, is an error for the caller that
waits for it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bmk.errors import PreflightRefused
from bmk.lab.machines.machine import Say

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 10.0  # seconds
_LIFE = 60.0  # seconds of running after which the count of failed starts is reset
_ROW = 3  # ends in a row after which it counts as failed


@dataclass(frozen=True, slots=True)
class Daemon:
    """A command that stays in the foreground. `environment` is added to the supervisor's.

    It is ready when it answers by TCP at `answers` and listens on the UDP port `hears`; None: nowhere.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    answers: tuple[str, int] | None = None
    hears: int | None = None


async def _answers(where: tuple[str, int] | None) -> bool:
    if where is None:
        return True
    try:
        _, writer = await asyncio.open_connection(*where)
    except OSError:
        return False
    writer.close()
    return True


def _heard(port: int | None) -> bool:
    """Whether a process of this network namespace listens on the UDP port: a connection attempt would not show it."""
    sockets = Path("/proc/net/udp").read_text().splitlines()[1:]
    return port is None or any(line.split()[1].endswith(f":{port:04X}") for line in sockets)


class Daemons:
    """Starts and restarts daemons, and journals when one ends."""

    def __init__(self, logs: Path, say: Say) -> None:
        self._logs, self._say = logs, say
        self.started: dict[str, Daemon] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self.restarts: dict[str, int] = {}
        self._row: dict[str, int] = {}  # ends of each since it last ran for `_LIFE`
        self._told: set[str] = set()  # those that are being stopped

    def start(self, service: Daemon) -> None:
        """Start it, unless one of that name is there already."""
        if service.name in self._tasks:
            return
        self._logs.mkdir(parents=True, exist_ok=True)
        self.started[service.name] = service
        self.restarts[service.name] = self._row[service.name] = 0
        self._tasks[service.name] = asyncio.create_task(self._keep(service))

    async def _keep(self, service: Daemon) -> None:
        while True:
            began = asyncio.get_running_loop().time()
            how = await self._once(service)
            if service.name in self._told or asyncio.get_running_loop().time() - began > _LIFE:
                self._told.discard(service.name)
                self._row[service.name] = 0
            pause = min(_FIRST_PAUSE * 2 ** self._row[service.name], _LONGEST_PAUSE)
            self.restarts[service.name] += 1
            self._row[service.name] += 1
            self._say("lab.service", f"{service.name} {how}; started again in {pause:g} s")
            await asyncio.sleep(pause)

    async def _once(self, service: Daemon) -> str:
        """Run it until it ends; returns how it ended, for the journal."""
        with (self._logs / f"{service.name}.log").open("ab") as log:
            try:
                process = await asyncio.create_subprocess_exec(
                    *service.command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **service.environment},
                )
            except OSError as error:
                log.write(f"{service.command[0]} cannot be started: {error.strerror}\n".encode())
                return f"cannot be started: {error.strerror}"
        self._processes[service.name] = process
        return f"ended with {await process.wait()}"

    async def ready(self, services: Iterable[Daemon], on_wait: Callable[[str], None]) -> None:
        """Wait until each of them is ready; `on_wait` hears the name of the one that is waited for.

        Raises PreflightRefused when one does not come up.
        """
        for service in services:
            on_wait(service.name)
            while not (self._running(service.name) and _heard(service.hears) and await _answers(service.answers)):
                self.require(service.name)
                await asyncio.sleep(0.05)

    def require(self, name: str) -> None:
        """Raise PreflightRefused with the end of its log when it ended several times in a row, and is not there now."""
        if self._row[name] >= _ROW and not self._running(name):
            log = self._logs / f"{name}.log"
            why = log.read_text(errors="replace")[-500:].strip() or "it said nothing"
            hint = "mend what its log says, then the same command again"
            raise PreflightRefused(f"{name} does not stay up", where=str(log), why=why, hint=hint)

    async def restart(self, names: Iterable[str]) -> None:
        """End these; they are started again at once."""
        for name in names:
            if self._running(name):
                self._told.add(name)
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
        """End all of them: SIGTERM, and SIGKILL after two seconds."""
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
