# Copyright bmk contributors. Apache-2.0
"""Kind `units`: systemd units enabled and running, and running with what is on disk.

A unit that started before a file it `watch`es last changed is stale and is restarted. There is no state between a
change and a restart, so the next run completes one that was killed in between.
"""

from __future__ import annotations

import os
import time

from ansible.module_utils.bmk_batch import BatchKind, Item, command

_PROPERTIES = (
    "Id", "LoadState", "ActiveState", "NeedDaemonReload", "ActiveEnterTimestampMonotonic",
    "StateChangeTimestampMonotonic",
)  # fmt: skip
_ENABLED = ("enabled", "enabled-runtime", "static", "alias", "generated", "indirect")


class Units(BatchKind):
    """Items: {name, state: started|stopped|any, enabled: bool, watch: [paths], reload: bool}."""

    name = "units"

    def desired(self, item: Item) -> Item:
        state = item.get("state") or "started"
        known = {"enabled": bool(item.get("enabled", True)), "fresh": True}
        if state != "any":
            known["active"] = state == "started"
        return known

    def actual(self, item: Item) -> Item:
        shown = show(item["name"])
        active = shown.get("ActiveState") in ("active", "reloading", "activating")
        known = {"enabled": enabled(item["name"]), "fresh": not active or fresh(shown, item)}
        if (item.get("state") or "started") != "any":
            known["active"] = active
        return known

    def apply(self, items: list[Item], actual: dict[str, Item]) -> None:
        # a reload runs every generator and takes seconds on a slow node; units that were never loaded need none
        if any(show(item["name"]).get("NeedDaemonReload") == "yes" for item in items):
            command("systemctl", "daemon-reload")
        for item in items:
            _set(item, actual[item["name"]])

    def record(self, item: Item, desired: Item) -> Item:
        kept = {key: item.get(key) for key in ("name", "state", "enabled", "watch", "reload") if key in item}
        return dict(kept, desired=desired)


def show(name: str) -> dict[str, str]:
    out = command("systemctl", "show", "--property", ",".join(_PROPERTIES), "--", name, check=False)
    return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)


def enabled(name: str) -> bool:
    """As it is on disk: what systemd itself remembers is older when it was not reloaded."""
    return command("systemctl", "is-enabled", "--", name, check=False).strip() in _ENABLED


def fresh(shown: dict[str, str], item: Item) -> bool:
    """Whether the unit started (or reloaded) after the newest of the files it reads."""
    if shown.get("NeedDaemonReload") == "yes":
        return False
    key = "StateChangeTimestampMonotonic" if item.get("reload") else "ActiveEnterTimestampMonotonic"
    age = time.clock_gettime(time.CLOCK_MONOTONIC) - int(shown.get(key) or 0) / 1e6
    started = time.time() - age
    return all(_changed(path) <= started for path in item.get("watch") or ())


def _changed(path: str) -> float:
    """When a file changed; 0 when it is gone, or from the future because the clock was set back since."""
    try:
        at = os.stat(path).st_mtime
    except OSError:
        return 0.0
    return at if at <= time.time() else 0.0


def _set(item: Item, actual: Item) -> None:
    name = item["name"]
    wanted = bool(item.get("enabled", True))
    if actual["enabled"] != wanted:
        # offline: only the links on disk. Told of it, systemd wants a reload of everything (and Debian runs a script)
        command("systemctl", "enable" if wanted else "disable", "--", name, env={"SYSTEMD_OFFLINE": "1"})
    state = item.get("state") or "started"
    if state == "stopped":
        command("systemctl", "stop", "--", name)
    elif actual.get("active") and not actual["fresh"]:
        command("systemctl", "reload-or-restart" if item.get("reload") else "restart", "--", name)
    elif state == "started" and not actual["active"]:
        command("systemctl", "start", "--", name)
    elif state == "any" and not actual["fresh"]:
        command("systemctl", "try-restart", "--", name)
