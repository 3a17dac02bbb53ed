"""The text of files, for differences that a person can read. Kept only where the deployer may see it."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Sequence

from bmk.drift.facts.fact import Fact, Found, Wanted, columns, words
from bmk.drift.watched import NO_TEXT

LONGEST = 65536  # bytes; a configuration file is shorter, and longer ones are not brought


def command(wanted: Wanted) -> str:
    if not wanted.texts:
        return ""
    never = " ".join(f"! -path {pattern}" for pattern in map(shlex.quote, NO_TEXT))
    return (
        f"find {words(wanted.texts)} -maxdepth 3 -type f -size -{LONGEST >> 10}k ! -name '.bmk-*' {never} | sort -u | "
        'while IFS= read -r f; do printf \'%s\\t%s\\n\' "$f" "$(base64 -w0 -- "$f")"; done'
    )


def parse(lines: Sequence[str]) -> Found:
    found: Found = {}
    for line in lines:
        path, text = columns(line, 2)
        found[path] = {"text": base64.b64decode(text, validate=True).decode(errors="replace")}
    return found


FACT = Fact("texts", command, parse)
