"""An image onto a disk: streamed through zstd, hashed, read back; bootable only at the very end.

The first MiB (boot code and partition table) is kept in memory until everything else is proven. Interrupted at any
byte, the disk carries a partition table of ours that boots nothing, and the next attempt starts clean.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import mmap
import os
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from bmk.agent.errors import AgentError
from bmk.agent.fetch import Download
from bmk.agent.model import Disk, ImageSource, Written
from bmk.agent.partitions import MARKER
from bmk.agent.programs import run
from bmk.agent.progress import Progress
from bmk.agent.sectors import table_for

MIB = 1 << 20
HELD_BACK = MIB
SKIPPABLE = 0x184D2A50  # zstd frame that decoders skip: ours leads an image and says what the raw bytes must be
_F_SETPIPE_SZ = 1031
_READ = 4 * MIB
HEAD = 4096  # bytes that surely hold the frame that leads an image

Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class About:
    """What an image says of itself."""

    raw_size: int
    raw_sha256: str

    @classmethod
    def read(cls, head: bytes | memoryview) -> About:
        """From the first bytes of a compressed image. AgentError when they are not ours."""
        try:
            magic, length = struct.unpack_from("<II", head)
            said = json.loads(bytes(head[8 : 8 + length])) if magic == SKIPPABLE else {}
            if said["format"] == "bmk-image/1":
                return cls(int(said["raw_size"]), str(said["raw_sha256"]))
        except (struct.error, ValueError, KeyError, TypeError):
            pass
        raise AgentError(
            "the image does not say what it must look like on the disk", why="it does not begin with bmk's frame",
            hint="make node images with bmk artifacts build", code="image-build",
        )  # fmt: skip


def write_image(disk: Disk, image: ImageSource, tell: Tell, download: Download | None = None) -> Written:
    """Write and prove. AgentError leaves a disk that boots nothing, marked as ours."""
    download = download or Download(image)
    device = Path(disk.path)
    writer = _Writer(device, disk.size, download, tell)
    try:
        started = time.monotonic()
        about = writer.run(image)
        written = time.monotonic()
        seen = _read_back(device, writer.first, about, tell)
        if seen != about.raw_sha256:
            raise AgentError(
                "the disk does not give back what was written to it", why=f"sha256 {about.raw_sha256}, read {seen}",
                hint="the disk, its cable or its controller is bad: replace it, then: bmk provision DC", code="disk",
            )  # fmt: skip
        _make_bootable(device, table_for(writer.first, disk.sector, disk.size))
    except OSError as error:
        raise AgentError(f"the disk {device} fails", why=str(error), hint="replace the disk", code="disk") from None
    seconds = {"write": round(written - started, 2), "readback": round(time.monotonic() - written, 2)}
    return Written(image.sha256, seen, about.raw_size, seconds)


def mark(device: Path, size: int) -> None:
    """Make an old system unbootable and unrecognisable, and the disk known as one that bmk is writing."""
    try:
        with _opened(device, os.O_RDWR | os.O_EXCL) as disk:
            for start in (0, max(0, size - MIB)):
                os.pwrite(disk.fileno(), bytes(min(MIB, size)), start)
            os.fsync(disk.fileno())
    except OSError as error:
        raise AgentError(
            f"the disk {device} cannot be written", why=str(error), hint="is something using it, or is it broken?",
            code="disk",
        ) from None  # fmt: skip
    command = ("sfdisk", "--quiet", "--wipe", "always", "--wipe-partitions", "never", "--no-reread", "--no-tell-kernel")
    done = run(*command, str(device), stdin=f'label: gpt\nstart=2048, type=linux, name="{MARKER}"\n')
    if done.code != 0:
        raise AgentError(f"the disk {device} takes no partition table", why=done.reason, code="disk")


class _Writer:
    """Three at work: this thread feeds zstd, one hashes what came (Download's), one moves zstd's output to the disk."""

    def __init__(self, device: Path, size: int, download: Download, tell: Tell) -> None:
        self._device, self._size, self._download, self._tell = device, size, download, tell
        self.first = b""
        self._moved = 0
        self._problem: Exception | None = None

    def run(self, image: ImageSource) -> About:
        about: About | None = None
        head = b""
        zstd: subprocess.Popen[bytes] | None = None
        mover: threading.Thread | None = None
        progress = Progress(self._tell, "image", image.size)
        try:
            for block in self._download:
                if about is None:
                    head += block
                    if len(head) < HEAD and self._download.position != self._download.total:
                        continue  # the connection broke very early
                    about, block = self._fitting(About.read(head)), memoryview(head)  # noqa: PLW2901 - the rest of the block replaces it
                    mark(self._device, self._size)
                    zstd, mover = self._start()
                if zstd is not None and not _feed(zstd, block):
                    zstd = None  # it gave up: go on hashing, because the digest tells why
                progress.at(self._download.position)
            progress.end(self._download.position)
        finally:
            self._end(mover)
        return self._judge(about, image)

    def _fitting(self, about: About) -> About:
        if about.raw_size > self._size:
            raise AgentError(
                "the disk is too small for the image", why=f"image {about.raw_size} bytes, disk {self._size} bytes",
                hint="choose another disk in dc.yml", code="disk-choice",
            )  # fmt: skip
        return about

    def _start(self) -> tuple[subprocess.Popen[bytes], threading.Thread]:
        self._zstd = subprocess.Popen(
            ["zstd", "-d", "-c", "-q"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )
        for pipe in (self._zstd.stdin, self._zstd.stdout):
            with suppress(OSError):  # a limit for those who are not root
                fcntl.fcntl(_fd(pipe), _F_SETPIPE_SZ, MIB)
        mover = threading.Thread(target=self._move, name="move", daemon=True)
        mover.start()
        return self._zstd, mover

    def _move(self) -> None:
        """zstd's output: the first MiB into memory, the rest to the disk without passing through this process."""
        source = _fd(self._zstd.stdout)
        try:
            with _opened(self._device, os.O_RDWR | os.O_EXCL) as disk:
                self.first = _exactly(source, HELD_BACK)
                self._moved = len(self.first)
                while count := os.splice(source, disk.fileno(), MIB, offset_dst=self._moved):
                    self._moved += count
                os.fsync(disk.fileno())
        except OSError as problem:
            self._problem = problem
        finally:
            self._close("stdout")  # zstd notices, and so does who feeds it

    def _close(self, pipe: str) -> None:
        with suppress(OSError):
            getattr(self._zstd, pipe).close()
        setattr(self._zstd, pipe, None)

    def _end(self, mover: threading.Thread | None) -> None:
        if mover is not None:
            self._close("stdin")
            mover.join()
            self._said = self._zstd.communicate()[1].decode(errors="replace").strip()
        self._download.finish()

    def _judge(self, about: About | None, image: ImageSource) -> About:
        if self._problem is not None:
            raise self._problem
        seen = self._download.sha256()
        if seen != image.sha256 or about is None:
            raise AgentError(
                "the image is not the one that was granted, byte for byte", why=f"sha256 {image.sha256}, came {seen}",
                hint="bmk artifacts verify names the damaged file; the disk was left unbootable", code="image",
            )  # fmt: skip
        if self._zstd.returncode != 0 or self._moved != about.raw_size:
            raise AgentError(
                "the image does not unpack", why=self._said or f"{self._moved} of {about.raw_size} bytes",
                hint="bmk artifacts build", code="image-build",
            )  # fmt: skip
        return about


def _feed(zstd: subprocess.Popen[bytes], block: memoryview) -> bool:
    descriptor = _fd(zstd.stdin)
    try:
        while block:
            block = block[os.write(descriptor, block) :]
    except BrokenPipeError:
        return False
    return True


def _read_back(device: Path, first: bytes, about: About, tell: Tell) -> str:
    """Digest of what the medium holds; reading and hashing overlap."""
    digest = hashlib.sha256(first)
    progress = Progress(tell, "read back", about.raw_size)
    buffers = [mmap.mmap(-1, _READ), mmap.mmap(-1, _READ)]  # page-aligned, as O_DIRECT wants it
    position, turn, pending = len(first), 0, None
    with _opened_direct(device) as disk, ThreadPoolExecutor(1) as pool:
        while position < about.raw_size:
            count = os.preadv(disk.fileno(), [buffers[turn]], position)
            count = min(count, about.raw_size - position)
            _wait(pending)
            if count <= 0:
                break
            pending = pool.submit(digest.update, memoryview(buffers[turn])[:count])
            position, turn = position + count, 1 - turn
            progress.at(position)
        _wait(pending)
    progress.end(position)
    return digest.hexdigest()


def _make_bootable(device: Path, first: bytes) -> None:
    """The last write of all: boot code and partition table."""
    with _opened(device, os.O_RDWR | os.O_EXCL) as disk:
        os.pwrite(disk.fileno(), first, 0)
        os.fsync(disk.fileno())
    with _opened_direct(device) as disk:
        buffer = mmap.mmap(-1, HELD_BACK)
        os.preadv(disk.fileno(), [buffer], 0)
        if buffer[: len(first)] != first:
            raise AgentError("the disk does not give back its partition table", hint="replace the disk", code="disk")


def _exactly(source: int, count: int) -> bytes:
    parts = []
    while count and (part := os.read(source, count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _wait(pending: Future[None] | None) -> None:
    if pending is not None:
        pending.result()


def _opened(device: Path, flags: int) -> IO[bytes]:
    return os.fdopen(os.open(device, flags), "r+b" if flags & os.O_RDWR else "rb", buffering=0)


def _opened_direct(device: Path) -> IO[bytes]:
    """For reading the medium and not what memory still has of it."""
    try:
        return _opened(device, os.O_RDONLY | os.O_DIRECT)
    except OSError:  # some file systems cannot; then at least forget what is cached
        file = _opened(device, os.O_RDONLY)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return file


def _fd(pipe: IO[bytes] | None) -> int:
    if pipe is None:
        raise OSError("the pipe to zstd is closed")
    return pipe.fileno()
