# Copyright bmk contributors. Apache-2.0
"""Kind `kernel_modules`: loaded or built in. In a container the kernel is somebody else's."""

from __future__ import annotations

import os

from ansible.module_utils.bmk_batch import BatchKind, Item, command, in_container


class KernelModules(BatchKind):
    """Items: {name}. Keeping them across reboots is a file below /etc/modules-load.d, an item of `bmk_files`."""

    name = "kernel_modules"

    def desired(self, item: Item) -> Item:
        return {"in_kernel": True}

    def actual(self, item: Item) -> Item:
        return {"in_kernel": in_container() or present(item["name"])}

    def apply(self, items: list[Item], actual: dict[str, Item]) -> None:
        for item in items:
            command("modprobe", "--", item["name"])


def present(name: str) -> bool:
    name = name.replace("-", "_")
    return os.path.isdir("/sys/module/" + name) or name in _listed() or name in _built_in()


def _listed() -> set[str]:
    try:
        with open("/proc/modules") as file:
            return {line.split(" ", 1)[0] for line in file}
    except OSError:  # a kernel without loadable modules
        return set()


def _built_in() -> set[str]:
    try:
        with open("/lib/modules/%s/modules.builtin" % os.uname().release) as file:
            return {os.path.basename(line.strip()).split(".ko")[0].replace("-", "_") for line in file}
    except OSError:
        return set()
