"""Server of the lab's control socket: one JSON line in, one JSON line out, then the connection ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bmk.errors import BmkError, ConfigError
from bmk.lab.host.sockets import short_path

Operation = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class ControlSocket:
    """Serves `operations` by name. An error of an operation becomes `{"ok": false, ...}`."""

    def __init__(self, socket: Path, operations: dict[str, Operation]) -> None:
        self._socket, self._operations = socket, operations

    async def serve(self) -> asyncio.Server:
        self._socket.unlink(missing_ok=True)
        with short_path(self._socket) as path:
            server = await asyncio.start_unix_server(self._client, path, backlog=256)
        self._socket.chmod(0o600)
        return server

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            if line:
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            return  # the client went away
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            question = json.loads(line)
            operation = self._operations.get(question.pop("op", ""))
            if operation is None:
                raise ConfigError("no such operation", why=f"there are {', '.join(sorted(self._operations))}")
            return {"ok": True, **await operation(question)}
        except BmkError as error:
            return {"ok": False, **error.as_data()}
        except (ValueError, KeyError, TypeError, OSError, AttributeError) as error:
            return {"ok": False, "error": f"the request cannot be done: {type(error).__name__}: {error}"}
