"""Users, groups, and keys that open an account by ssh."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from bmk.drift.facts.fact import Fact, Found, Wanted, attributes, columns, words
from bmk.drift.kind import INTRUDER, Rule, by_role
from bmk.drift.model import Desired, Difference, Repair


def _accounts(wanted: Wanted) -> str:
    """Who can log in, and users that roles made: numbers, shell, whether a password is set (never which)."""
    # the second field of shadow starts with ! or * when no password opens the account
    named = f'for n in {words(wanted.of("users"))}; do echo "n:$n"; done; ' if wanted.of("users") else ""
    return (
        f"{{ {named}sed 's/^/p:/' /etc/passwd; sed 's/^/s:/' /etc/shadow; }} | awk -F: -v OFS='\\t' "
        '\'$1=="n"{w[$2]=1} $1=="p"{u[$2]=$4; g[$2]=$5; sh[$2]=$8} '
        '$1=="s"{pw[$2]=($3 ~ /^[!*]/ ? "locked" : ($3=="" ? "empty" : "set"))} '
        "END{for(n in u) if (n in w || u[n]==0 || sh[n] !~ /\\/(nologin|false|sync)$/) "
        'print n, u[n], g[n], sh[n], (n in pw ? pw[n] : "locked")}\''
    )


def _parse_users(lines: Sequence[str]) -> Found:
    found: Found = {}
    for line in lines:
        name, uid, gid, shell, password = columns(line, 5)
        found[name] = {"uid": int(uid), "gid": int(gid), "shell": shell, "password": password}
    return found


USERS = Fact(
    name="users",
    command=_accounts,
    parse=_parse_users,
    baseline=attributes("uid", "shell", "password"),
    closed=("*",),
    repair=by_role,
    next=f"bmk ssh {{dc}} {{where}} getent passwd; {INTRUDER}",
    rules=(Rule("*", "*", "security"),),
)


def _parse_groups(lines: Sequence[str]) -> Found:
    found: Found = {}
    for line in lines:
        name, _, gid, members = line.split(":")
        found[name] = {"gid": int(gid), "members": ",".join(sorted(filter(None, members.split(","))))}
    return found


GROUPS = Fact(
    name="groups",
    command=lambda _: "getent group",
    parse=_parse_groups,
    baseline=attributes("gid", "members"),
    repair=by_role,
    rules=(Rule("*", "*", "security"),),
)


def _parse_keys(lines: Sequence[str]) -> Found:
    """By user, type and fingerprint; never by the comment, which anybody can write."""
    found: Found = {}
    for line in lines:
        user, entry = columns(line, 2)
        parts = entry.split()
        at = next((i for i, word in enumerate(parts) if word.startswith(("ssh-", "ecdsa-", "sk-"))), None)
        if at is None or at + 1 >= len(parts):
            found[f"{user} unreadable"] = {"options": entry[:40]}
        else:
            found[f"{user} {parts[at]} {_fingerprint(parts[at + 1])}"] = {"options": " ".join(parts[:at])}
    return found


def _fingerprint(blob: str) -> str:
    try:
        digest = hashlib.sha256(base64.b64decode(blob, validate=True)).digest()
    except ValueError:
        return "unreadable"
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _restore_root(difference: Difference, _: Desired) -> Repair:
    """Root's keys are those of the baseline; whose key another account accepts needs a human decision."""
    return "converge" if difference.id.startswith("root ") else ""


AUTHORIZED_KEYS = Fact(
    name="authorized_keys",
    command=lambda _: (
        "cut -d: -f1,6 /etc/passwd | while IFS=: read -r u h; do "
        'for f in "$h/.ssh/authorized_keys" "$h/.ssh/authorized_keys2"; do [ -f "$f" ] && '
        "grep -v '^[[:space:]]*\\(#\\|$\\)' \"$f\" | tr '\\t' ' ' | sed \"s|^|$u\t|\"; done; done | sort -u"
    ),
    parse=_parse_keys,
    baseline=attributes("options"),
    closed=("*",),
    repair=_restore_root,
    next=f"bmk ssh {{dc}} {{where}} to look whose key it is; {INTRUDER}",
    rules=(Rule("*", "*", "security", "opens the account by ssh"),),
)
