"""The text of files, for differences that a person can read. Kept only where the deployer may see it."""

from __future__ import annotations

import base64
import io
import shlex
import tarfile
from collections.abc import Sequence

from bmk.drift.facts.fact import Fact, Found, Wanted, words
from bmk.drift.watch_policy import NO_TEXT

LONGEST = 65536  # bytes; a configuration file is shorter, and longer ones are not brought
_ALL = 8 << 20  # bytes of all of them: an archive of holes is short, and what it holds is not


def command(wanted: Wanted) -> str:
    """One archive of all of them: a process for each file took half of the time of a slow host."""
    if not wanted.texts:
        return ""
    never = " ".join(f"! -path {pattern}" for pattern in map(shlex.quote, NO_TEXT))
    some = f"-maxdepth 3 -type f -size -{LONGEST >> 10}k ! -name '.bmk-*' {never} -print0"
    return f"find {words(wanted.texts)} {some} | sort -zu | tar -cPf - --null --no-recursion -T - | base64 -w0"


def parse(lines: Sequence[str]) -> Found:
    packed = base64.b64decode("".join(lines), validate=True)
    try:
        return _texts(packed) if packed else {}
    except tarfile.TarError as error:
        raise ValueError(str(error)) from error


def _texts(packed: bytes) -> Found:
    """Never more of a file than was asked for, whatever the archive says."""
    found: Found = {}
    total = 0
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isreg() and member.size <= LONGEST else None
            total += member.size if file is not None else 0
            if total > _ALL:
                raise ValueError(f"texts of more than {_ALL >> 20} MiB")
            if file is not None:
                found[member.name] = {"text": file.read().decode(errors="replace")}
    return found


FACT = Fact("texts", command, parse)
