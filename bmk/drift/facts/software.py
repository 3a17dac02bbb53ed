"""Packages of the operating system, and units of systemd."""

from __future__ import annotations

from collections.abc import Sequence

from bmk.drift.facts.fact import Fact, Found, Wanted, attributes, columns, pairs, words
from bmk.drift.kind import Rule, by_role
from bmk.drift.model import Desired, Difference, Repair


def _parse_packages(lines: Sequence[str]) -> Found:
    found: Found = {}
    for line in lines:
        status, name, version = columns(line, 3)
        if status[1:2] == "i":
            found[name] = {"installed": True, "version": version, "held": status[0] == "h"}
    return found


def _install(difference: Difference, desired: Desired) -> Repair:
    """A missing package is installed; which version is right needs a human decision."""
    return "" if difference.field else by_role(difference, desired)


PACKAGES = Fact(
    name="packages",
    command=lambda _: r"dpkg-query -W -f '${db:Status-Abbrev}\t${Package}\t${Version}\n'",
    parse=_parse_packages,
    baseline=attributes("installed", "version", "held"),
    repair=_install,
    rules=(Rule("*", "", "breaking"), Rule("*", "held", "benign"), Rule("*", "*", "degraded")),
)

_ENABLED = ("enabled", "enabled-runtime", "static", "alias", "generated", "indirect")
_ACTIVE = ("active", "reloading", "activating")


def _show(wanted: Wanted) -> str:
    if not wanted.of("units"):
        return ""
    names = words(wanted.of("units"))
    show = "systemctl show --property Id,LoadState,ActiveState,NeedDaemonReload,DropInPaths"
    # by what is on disk: what systemd remembers is older when it was not reloaded
    is_enabled = 'printf \'%s\\t%s\\n\' "$u" "$(systemctl is-enabled -- "$u")"'
    return f"for u in {names}; do {is_enabled}; done; {show} -- {names}"


def _parse_units(lines: Sequence[str]) -> Found:
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


UNITS = Fact(
    name="units",
    command=_show,
    parse=_parse_units,
    baseline=attributes("masked", "drop_ins"),
    repair=by_role,
    rules=(
        Rule("*", "active", "breaking"),
        Rule("*", "masked", "breaking", "cannot be started any more"),
        Rule("*", "fresh", "benign", "runs with what was on disk when it started"),
        Rule("*", "-", "breaking"),
        Rule("*", "*", "degraded"),
    ),
)
