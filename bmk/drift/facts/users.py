"""Who can log in: users with a shell or the number 0, and whether a password is set (never which)."""

from __future__ import annotations

from collections.abc import Sequence

from bmk.drift.facts.fact import Fact, Found, Wanted, columns


def command(_: Wanted) -> str:
    # the second field of shadow starts with ! or * when no password opens the account
    return (
        "{ sed 's/^/p:/' /etc/passwd; sed 's/^/s:/' /etc/shadow; } | awk -F: -v OFS='\\t' "
        '\'$1=="p"{u[$2]=$4; sh[$2]=$8} $1=="s"{pw[$2]=($3 ~ /^[!*]/ ? "locked" : ($3=="" ? "empty" : "set"))} '
        'END{for(n in u) print n, u[n], sh[n], (n in pw ? pw[n] : "locked")}\''
    )


def parse(lines: Sequence[str]) -> Found:
    found: Found = {}
    for line in lines:
        name, uid, shell, password = columns(line, 4)
        if uid == "0" or not shell.endswith(("/nologin", "/false", "/sync")):
            found[name] = {"uid": int(uid), "shell": shell, "password": password}
    return found


FACT = Fact("users", command, parse)
