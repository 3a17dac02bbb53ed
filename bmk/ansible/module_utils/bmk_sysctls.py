# Copyright bmk contributors. Apache-2.0
"""Kind `sysctls`: kernel settings, live; the file that keeps them across reboots is an item of `bmk_files`.

In a container only `net.*` is the host's own. The rest belongs to the machine around it and is left alone.
"""

from __future__ import annotations

import os

from ansible.module_utils.bmk_batch import BatchKind, Failed, Item, in_container


class Sysctls(BatchKind):
    """Items: {name, value}."""

    name = "sysctls"

    def desired(self, item: Item) -> Item:
        return {"value": " ".join(str(item["value"]).split())}

    def actual(self, item: Item) -> Item:
        if not _own(item):
            return self.desired(item)
        try:
            with open(_path(item)) as file:
                return {"value": " ".join(file.read().split())}
        except OSError:
            return {"value": None}

    def apply(self, items: list[Item], actual: dict[str, Item]) -> None:
        """Twice, with those that were right: the kernel resets redirects when forwarding is turned on."""
        right = [{"name": name, "value": known["value"]} for name, known in actual.items() if known["value"]]
        wanted = {item["name"]: item for item in [*right, *items]}
        for item in 2 * list(wanted.values()):
            if self.actual(item) != self.desired(item):
                _write(item, self.desired(item)["value"])

    def record(self, item: Item, desired: Item) -> Item:
        return {"name": item["name"], "value": item["value"], "own": _own(item), "desired": desired}


def _write(item: Item, value: str) -> None:
    try:
        with open(_path(item), "w") as file:
            file.write(value)
    except OSError as error:
        raise Failed("sysctl %s: %s" % (item["name"], error.strerror)) from error


def _own(item: Item) -> bool:
    return item["name"].startswith("net.") or not in_container()


def _path(item: Item) -> str:
    return os.path.join("/proc/sys", *item["name"].split("."))
