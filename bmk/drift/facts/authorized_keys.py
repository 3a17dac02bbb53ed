"""Every key that opens an account by ssh, wherever the account keeps it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from bmk.drift.facts.fact import Fact, Found, Wanted, columns


def command(_: Wanted) -> str:
    return (
        "cut -d: -f1,6 /etc/passwd | while IFS=: read -r u h; do "
        'for f in "$h/.ssh/authorized_keys" "$h/.ssh/authorized_keys2"; do [ -f "$f" ] && '
        "grep -v '^[[:space:]]*\\(#\\|$\\)' \"$f\" | tr '\\t' ' ' | sed \"s|^|$u\t|\"; done; done | sort -u"
    )


def parse(lines: Sequence[str]) -> Found:
    found: Found = {}
    for line in lines:
        user, entry = columns(line, 2)
        parts = entry.split()
        at = next((i for i, word in enumerate(parts) if word.startswith(("ssh-", "ecdsa-", "sk-"))), None)
        if at is None or at + 1 >= len(parts):
            found[f"{user} unreadable"] = {"options": entry[:40]}
            continue
        print_of_key = _fingerprint(parts[at + 1])
        found[f"{user} {parts[at]} {print_of_key}"] = {"options": " ".join(parts[:at])}
    return found


def _fingerprint(blob: str) -> str:
    try:
        digest = hashlib.sha256(base64.b64decode(blob, validate=True)).digest()
    except ValueError:
        return "unreadable"
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


FACT = Fact("authorized_keys", command, parse)
