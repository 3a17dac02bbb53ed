"""Files by type, mode, owner and content; and everything in directories that are listed."""

from __future__ import annotations

from collections.abc import Sequence

from bmk.drift.facts.fact import Fact, Found, Wanted, columns, words

_TYPES = {"f": "file", "d": "directory", "l": "link", "s": "file"}  # a socket has rights as a file has
_FORMAT = r"%y\t%m\t%u\t%g\t%l\t%p\n"


def command(wanted: Wanted) -> str:
    """Two calls of find and one of sha256sum, however many files there are."""
    if not wanted.of("files") and not wanted.listed:
        return ""
    named, listed = words(wanted.of("files")) or "/nonexistent", words(wanted.listed) or "/nonexistent"
    # sockets and the like in a listed directory are of no interest; below a depth of 3 nothing is configured
    some = f"find {listed} -mindepth 1 -maxdepth 3 ! -name '.bmk-*'"
    return (
        f"{{ find {named} -maxdepth 0 -printf '{_FORMAT}'; {some} -printf '{_FORMAT}'; }} | sort -u\n"
        f"{{ find {named} -maxdepth 0 -type f -print0; {some} -type f -print0; }} | sort -zu | xargs -0r sha256sum"
    )


def parse(lines: Sequence[str]) -> Found:
    found: Found = {}
    for line in lines:
        if "\t" in line:
            kind, mode, owner, group, target, path = columns(line, 6)
            link = kind == "l"
            found[path] = {"type": _TYPES.get(kind, "other")}
            found[path] |= {"target": target} if link else {"mode": mode.zfill(4), "owner": owner, "group": group}
        else:
            digest, _, path = line.partition("  ")
            if len(digest) != 64 or path not in found:
                raise ValueError(f"not a checksum: {line[:80]!r}")
            found[path]["sha256"] = digest
    return found


FACT = Fact("files", command, parse)
