"""Attestation by console: while a machine boots and installs, what it prints is read through its BMC.

Its ramdisk prints the secret that it made; whoever only holds the machine's address cannot print there. Two secrets for
one grant mean that something else prints there too: the attempt ends, and nothing is pinned.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bmk.agent.nonces.console import nonces_in
from bmk.boot import grants
from bmk.boot.nonces import Nonces
from bmk.engine.phase import Context
from bmk.errors import BmkError, PhaseFailed

_EVERY = 0.5  # seconds between looks at what was printed
_AGAIN = 5.0  # seconds until a console that ended is opened again
_LONGEST_LINE = 256  # bytes
_MOST = 32 << 20  # bytes of console text; a machine that prints more is not listened to any more


@asynccontextmanager
async def reading_console(ctx: Context) -> AsyncIterator[None]:
    """Read the host's console meanwhile when its newest grant is proven that way; else nothing is done."""
    grant = grants.latest(ctx.run.journal, ctx.host.name)
    if grant is None or grant.attest != "console" or grant.ended is not None:
        yield
        return
    with TemporaryDirectory(prefix="bmk-console-") as private:
        ear = _ConsoleReader(ctx, grant.id, Path(private) / "text")
        task = asyncio.create_task(ear.listen())
        try:
            yield
        except PhaseFailed as error:
            raise ear.conflict or error from error
        finally:
            ear.stop.set()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


class _ConsoleReader:
    def __init__(self, ctx: Context, grant: str, text: Path) -> None:
        self._ctx, self._grant, self._text = ctx, grant, text
        self.stop = threading.Event()
        self.conflict: PhaseFailed | None = None

    async def listen(self) -> None:
        """Until cancelled, or until the console said two different things."""
        pool = ThreadPoolExecutor(1, thread_name_prefix="console")  # its own: it is held for as long as the host boots
        pool.submit(self._follow)
        pool.shutdown(wait=False)
        place = 0
        while self.conflict is None and place < _MOST:
            place = self._scan(place)
            await asyncio.sleep(_EVERY)
        self.stop.set()

    def _follow(self) -> None:
        while not self.stop.is_set():
            try:
                self._ctx.run.services.bmc(self._ctx.host).console(self._text, self.stop.is_set)
            except (BmkError, OSError) as error:
                self._ctx.emit("attest.deaf", f"the console cannot be read now: {error}", "warning")
            self.stop.wait(_AGAIN)

    def _scan(self, place: int) -> int:
        """What was printed from `place` on; returns where to go on, a line's length back: it may come in two parts."""
        if not self._text.exists():
            return place
        with self._text.open("rb") as file:
            file.seek(max(0, place - _LONGEST_LINE))
            text = file.read(_MOST)
            place = file.tell()
        for nonce in nonces_in(text, self._grant):
            self._take(nonce)
        return place

    def _take(self, nonce: bytes) -> None:
        nonces = Nonces.of(self._ctx.run.journal)
        known = nonces.get(self._grant)
        if known is None:
            nonces.keep(self._grant, nonce)
            self._ctx.emit("attest.heard", "the machine said its secret on its console", grant=self._grant)
        elif known != nonce:
            self._end()

    def _end(self) -> None:
        what = "two machines, or a machine and a stranger, speak for this host: its console named two secrets"
        hint = f"find who answers on the boot network, then: bmk provision {self._ctx.run.dc.name}"
        self.conflict = PhaseFailed(what, where=self._ctx.host.name, hint=hint)
        self._ctx.emit("attest.conflict", what, "error", hint=hint, grant=self._grant)
        grants.end(self._ctx.run.journal, self._grant, "failed", time.time())
