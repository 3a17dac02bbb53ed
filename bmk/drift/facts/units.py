"""Units: running, enabled, and running with what is on disk; as the batch module sees them."""

from __future__ import annotations

from collections.abc import Sequence

from bmk.drift.facts.fact import Fact, Found, Wanted, columns, pairs, words

_ENABLED = ("enabled", "enabled-runtime", "static", "alias", "generated", "indirect")
_ACTIVE = ("active", "reloading", "activating")


def command(wanted: Wanted) -> str:
    if not wanted.of("units"):
        return ""
    names = words(wanted.of("units"))
    show = "systemctl show --property Id,LoadState,ActiveState,NeedDaemonReload,DropInPaths"
    # by what is on disk: what systemd remembers is older when it was not reloaded
    is_enabled = 'printf \'%s\\t%s\\n\' "$u" "$(systemctl is-enabled -- "$u")"'
    return f"for u in {names}; do {is_enabled}; done; {show} -- {names}"


def parse(lines: Sequence[str]) -> Found:
    states = dict(columns(line, 2) for line in lines if "\t" in line)
    found: Found = {}
    for block in "\n".join(line for line in lines if "\t" not in line).split("\n\n"):
        shown = pairs(block.splitlines())
        name = shown.get("Id", "")
        if name in states:
            found[name] = {
                "active": shown.get("ActiveState") in _ACTIVE,
                "enabled": states[name] in _ENABLED,
                "masked": "masked" in states[name] or shown.get("LoadState") == "masked",
                "fresh": shown.get("NeedDaemonReload") != "yes",
                "drop_ins": shown.get("DropInPaths", ""),
            }
    return found


FACT = Fact("units", command, parse)
