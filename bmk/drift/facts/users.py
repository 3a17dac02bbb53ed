"""Who can log in, and users that roles made: numbers, shell, whether a password is set (never which)."""

from __future__ import annotations

from collections.abc import Sequence

from bmk.drift.facts.fact import Fact, Found, Wanted, columns, words


def command(wanted: Wanted) -> str:
    # the second field of shadow starts with ! or * when no password opens the account
    named = f'for n in {words(wanted.of("users"))}; do echo "n:$n"; done; ' if wanted.of("users") else ""
    return (
        f"{{ {named}sed 's/^/p:/' /etc/passwd; sed 's/^/s:/' /etc/shadow; }} | awk -F: -v OFS='\\t' "
        '\'$1=="n"{w[$2]=1} $1=="p"{u[$2]=$4; g[$2]=$5; sh[$2]=$8} '
        '$1=="s"{pw[$2]=($3 ~ /^[!*]/ ? "locked" : ($3=="" ? "empty" : "set"))} '
        "END{for(n in u) if (n in w || u[n]==0 || sh[n] !~ /\\/(nologin|false|sync)$/) "
        'print n, u[n], g[n], sh[n], (n in pw ? pw[n] : "locked")}\''
    )


def parse(lines: Sequence[str]) -> Found:
    found: Found = {}
    for line in lines:
        name, uid, gid, shell, password = columns(line, 5)
        found[name] = {"uid": int(uid), "gid": int(gid), "shell": shell, "password": password}
    return found


FACT = Fact("users", command, parse)
