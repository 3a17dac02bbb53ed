# Copyright bmk contributors. Apache-2.0
"""Kind `users`: system users with a fixed number, each with a group of its name and number, and no way to log in."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable
from typing import Any

from ansible.module_utils.bmk_batch import BatchKind, Failed, Item, command

SHELL = "/usr/sbin/nologin"


class Users(BatchKind):
    """Items: {name, uid}."""

    name = "users"

    def desired(self, item: Item) -> Item:
        number = int(item["uid"])
        return {"uid": number, "gid": number, "shell": SHELL, "password": "locked"}

    def actual(self, item: Item) -> Item:
        try:
            found = pwd.getpwnam(item["name"])
        except KeyError:
            return {"uid": None, "gid": None, "shell": None, "password": None}
        own = _named(grp.getgrgid, found.pw_gid) == item["name"]
        shown = {"uid": found.pw_uid, "gid": found.pw_gid if own else None}
        return dict(shown, shell=found.pw_shell, password=_password(item["name"]))

    def apply(self, items: list[Item], actual: dict[str, Item]) -> None:
        for item in items:
            _free(item)
            _set(item, there=actual[item["name"]]["uid"] is not None)

    def record(self, item: Item, desired: Item) -> Item:
        return {"name": item["name"], "uid": item["uid"], "desired": desired}


def _free(item: Item) -> None:
    """Nobody else has the number: they would share keys."""
    others = {_named(pwd.getpwuid, int(item["uid"])), _named(grp.getgrgid, int(item["uid"]))} - {"", item["name"]}
    if others:
        raise Failed(
            "user %s cannot have number %s: %s has it, and would read keys of the cluster. Next: give that account "
            "another number (usermod --uid, groupmod --gid), or `bmk reinstall DC HOST`"
            % (item["name"], item["uid"], ", ".join(sorted(others)))
        )


def _set(item: Item, there: bool) -> None:
    name, number = item["name"], str(item["uid"])
    try:
        grp.getgrnam(name)
        command("groupmod", "--gid", number, name)
    except KeyError:
        command("groupadd", "--system", "--gid", number, name)
    wanted = ("--uid", number, "--gid", number, "--shell", SHELL)
    if there:
        command("usermod", *wanted, "--lock", name)
    else:
        command("useradd", "--system", *wanted, "--no-create-home", "--home-dir", "/nonexistent", name)


def _named(lookup: Callable[[int], Any], number: int) -> str:
    """Name of the entry with this number; "" when there is none."""
    try:
        return str(lookup(number)[0])
    except KeyError:
        return ""


def _password(name: str) -> str:
    """As drift's fact says it: whether a password opens the account, never which."""
    with open("/etc/shadow") as file:
        for line in file:
            fields = line.split(":")
            if fields[0] == name:
                return "locked" if fields[1][:1] in ("!", "*") else "set" if fields[1] else "empty"
    return "locked"
