# Copyright bmk contributors. Apache-2.0
"""Kind `packages`: packages that must be there. A manager per family; services never start by themselves."""

from __future__ import annotations

import os
import shutil

from ansible.module_utils.bmk_batch import BatchKind, Failed, Item, command

_POLICY = "/usr/sbin/policy-rc.d"


class Packages(BatchKind):
    """Items: {name}."""

    name = "packages"

    def __init__(self) -> None:
        self._installed: set[str] | None = None

    def desired(self, item: Item) -> Item:
        return {"installed": True}

    def actual(self, item: Item) -> Item:
        if self._installed is None:
            self._installed = family().installed()
        return {"installed": item["name"] in self._installed}

    def apply(self, items: list[Item], actual: dict[str, Item]) -> None:
        family().install([item["name"] for item in items])
        self._installed = None


class Apt:
    """Debian and its children."""

    def installed(self) -> set[str]:
        out = command("dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Package}\n")
        return {line[3:].strip() for line in out.splitlines() if line.startswith("ii")}

    def install(self, names: list[str]) -> None:
        own_policy = not os.path.exists(_POLICY)
        if own_policy:
            with open(_POLICY, "w") as file:
                file.write("#!/bin/sh\nexit 101\n")
            os.chmod(_POLICY, 0o755)  # noqa: S103 - dpkg executes it
        try:
            self._install(names)
        except Failed as error:
            raise Failed(
                "packages %s are not in the node image and apt cannot get them: %s. "
                "Next: `bmk image build`, or give the nodes a Debian mirror" % (", ".join(names), error)
            ) from error
        finally:
            if own_policy:
                os.unlink(_POLICY)

    def _install(self, names: list[str]) -> None:
        env = {"DEBIAN_FRONTEND": "noninteractive"}
        apt = ("apt-get", "-q", "-y", "-o", "Dpkg::Options::=--force-confold", "-o", "Acquire::Retries=2")
        command(*apt, "update", env=env)
        command(*apt, "install", "--no-install-recommends", *names, env=env)


def family() -> Apt:
    """The package manager of this host. Another family is one more class and one more line here."""
    if shutil.which("dpkg-query"):
        return Apt()
    raise Failed("no known package manager on this host: bmk knows dpkg (Debian)")
