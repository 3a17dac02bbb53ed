"""What Go writes into every program it builds: its version, and each module in it with the sum that go.sum pins.

Read from the file itself: no Go toolchain is needed, and builds of upstream have it too. Files without this section are
no Go programs; all lengths are bounded by the size of the file.
"""

from __future__ import annotations

import mmap
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MAGIC, _ALIGNED, _HEADER, _INLINE = b"\xff Go buildinf:", 16, 32, 2  # since Go 1.18 the texts follow the header
_MARKED = 16  # bytes of a mark before and behind the list of modules
_MOST = 4 << 20  # bytes of that list; kubelet's has 20 kB


@dataclass(frozen=True, slots=True)
class Module:
    """One module that was compiled in. `sum` is the `h1:` of go.sum; empty for the main module of a checkout."""

    path: str
    version: str
    sum: str


@dataclass(frozen=True, slots=True)
class BuildInfo:
    """`go`: version of the toolchain, such as go1.26.8."""

    go: str
    modules: tuple[Module, ...]


def build_info(program: bytes | mmap.mmap) -> BuildInfo | None:
    """None for what is not a program of Go 1.18 or later."""
    at = program.find(_MAGIC)
    while at >= 0 and at % _ALIGNED:
        at = program.find(_MAGIC, at + 1)
    try:
        if at < 0 or not program[at + 15] & _INLINE:
            return None
        go, end = _text(program, at + _HEADER)
        listed, _ = _text(program, end)
    except IndexError:  # cut off
        return None
    return BuildInfo(go, tuple(_modules(listed[_MARKED:-_MARKED])))


def programs(path: Path) -> Iterator[BuildInfo]:
    """Of a program, or of each program in a tar; nothing for other files."""
    if path.suffix == ".tar":
        with tarfile.open(path) as tar:
            for member in tar:
                stream = tar.extractfile(member) if member.isreg() else None
                if stream is not None and (info := build_info(stream.read())) is not None:
                    yield info
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:4] == b"\x7fELF" and (info := build_info(data)) is not None:
            yield info


def _text(data: bytes | mmap.mmap, at: int) -> tuple[str, int]:
    """A text with its length before it, as a varint; and where it ends."""
    length = shift = 0
    for at in range(at, at + 5):  # noqa: B020, PLR1704 - goes on from where it began
        length |= (data[at] & 0x7F) << shift
        shift += 7
        if not data[at] & 0x80:
            break
    end = at + 1 + min(length, _MOST)
    return data[at + 1 : end].decode(errors="replace"), end


def _modules(listed: str) -> Iterator[Module]:
    """`mod` and `dep` lines; a `=>` line says what a module was replaced by."""
    held: Module | None = None
    for line in listed.splitlines():
        kind, _, rest = line.partition("\t")
        if kind not in ("mod", "dep", "=>"):
            continue
        path, version, checksum = (*rest.split("\t"), "", "")[:3]
        if held is not None and kind != "=>":
            yield held
        held = Module(path, version, checksum)
    if held is not None:
        yield held
