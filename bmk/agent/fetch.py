"""The image's compressed bytes over HTTP: hashed on the way, resumed when the connection breaks."""

from __future__ import annotations

import hashlib
import http.client
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

from bmk.agent.errors import AgentError
from bmk.agent.model import ImageSource

BLOCK = 1 << 20
TRIES = 6  # connections in a row that bring nothing
_TIMEOUT = 30.0  # seconds without a byte
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Download:
    """Iterate over it for blocks (valid until the next one); afterwards `sha256()` is the digest of all of them."""

    def __init__(self, image: ImageSource, pause: Callable[[float], None] = time.sleep) -> None:
        self._image, self._pause = image, pause
        self.position = 0  # bytes had so far
        self.total = image.size
        self._digest = hashlib.sha256()
        self._free: queue.SimpleQueue[bytearray] = queue.SimpleQueue()
        self._full: queue.SimpleQueue[tuple[bytearray, int] | None] = queue.SimpleQueue()
        for _ in range(8):
            self._free.put(bytearray(BLOCK))
        self._hasher = threading.Thread(target=self._hash, name="hash", daemon=True)
        self._hasher.start()

    def __iter__(self) -> Iterator[memoryview]:
        fruitless, problem = 0, ""
        while self.total is None or self.position < self.total:
            before = self.position
            try:
                yield from self._connection()
            except urllib.error.HTTPError as error:
                if error.code < 500:
                    raise self._refused(error) from None
                problem = f"status {error.code}"
            except (OSError, http.client.HTTPException) as error:
                problem = str(getattr(error, "reason", error)) or type(error).__name__
            fruitless = 0 if self.position > before else fruitless + 1
            if fruitless >= TRIES:
                raise AgentError(
                    f"the image stopped after {self.position} bytes", why=f"{self._image.url}: {problem or 'closed'}",
                    hint="is the boot server up? start the install again: it begins anew", retry=True,
                    code="boot-server",
                )  # fmt: skip
            if self.total is None or self.position < self.total:
                self._pause(min(0.5 * 2**fruitless, 8.0))
        self.finish()

    def sha256(self) -> str:
        self.finish()
        return self._digest.hexdigest()

    def finish(self) -> None:
        """End the hashing thread."""
        if self._hasher.is_alive():
            self._full.put(None)
            self._hasher.join()

    def _connection(self) -> Iterator[memoryview]:
        headers = {"Range": f"bytes={self.position}-"} if self.position else {}
        if self._image.token:
            headers["Authorization"] = f"Bearer {self._image.token}"
        request = urllib.request.Request(self._image.url, headers=headers)  # noqa: S310 - http by design
        with _opener.open(request, timeout=_TIMEOUT) as answer:
            self._learn_size(answer)
            skip = self.position if self.position and answer.status != 206 else 0
            while block := self._fill(answer, skip):
                skip = 0
                yield block[1]
                self._full.put((block[0], len(block[1])))

    def _learn_size(self, answer: Any) -> None:
        length = answer.headers.get("Content-Length")
        if length is None:
            raise AgentError("the boot server does not say how long the image is", why=self._image.url)
        total = int(length) + (self.position if answer.status == 206 else 0)
        if self.total not in (None, total):
            raise AgentError(
                "the image is not as long as the granted one",
                why=f"{self._image.url}: {total} bytes, not {self.total}",
                hint="bmk artifacts verify", code="image",
            )  # fmt: skip
        self.total = total

    def _fill(self, answer: Any, skip: int) -> tuple[bytearray, memoryview] | None:
        """A whole block, or what is left before the end or a break."""
        while skip > 0:
            skip -= len(answer.read(min(skip, BLOCK)) or b"\0" * skip)
        buffer = self._free.get()
        view, had = memoryview(buffer), 0
        try:
            while had < BLOCK and (count := answer.readinto(view[had:])):
                had += count
        except (OSError, http.client.HTTPException):
            if not had:
                self._free.put(buffer)
                raise
        self.position += had
        if had:
            return buffer, view[:had]
        self._free.put(buffer)
        return None

    def _hash(self) -> None:
        while (full := self._full.get()) is not None:
            buffer, count = full
            self._digest.update(memoryview(buffer)[:count])
            self._free.put(buffer)

    def _refused(self, error: urllib.error.HTTPError) -> AgentError:
        return AgentError(
            "the boot server does not hand out the image", why=f"{self._image.url}: status {error.code}",
            hint="the grant may have expired or been revoked: bmk grant list DC, then: bmk provision DC",
            code="grant",
        )  # fmt: skip
