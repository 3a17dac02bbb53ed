# Copyright bmk contributors. Apache-2.0
"""Kind `groups`: system groups with a fixed number and without members."""

from __future__ import annotations

import grp

from ansible.module_utils.bmk_batch import BatchKind, Failed, Item, command


class GroupsKind(BatchKind):
    """Items: {name, gid}."""

    name = "groups"

    def desired(self, item: Item) -> Item:
        return {"gid": int(item["gid"]), "members": ""}

    def actual(self, item: Item) -> Item:
        try:
            found = grp.getgrnam(item["name"])
        except KeyError:
            return {"gid": None, "members": ""}
        return {"gid": found.gr_gid, "members": ",".join(sorted(found.gr_mem))}

    def apply(self, items: list[Item], actual: dict[str, Item]) -> None:
        for item in items:
            if actual[item["name"]]["gid"] is None:
                _add(item)
            else:
                command("groupmod", "--gid", str(item["gid"]), item["name"])
                command("gpasswd", "--members", "", item["name"])

    def record(self, item: Item, desired: Item) -> Item:
        return {"name": item["name"], "gid": item["gid"], "desired": desired}


def _add(item: Item) -> None:
    try:
        other = grp.getgrgid(int(item["gid"])).gr_name
    except KeyError:
        command("groupadd", "--system", "--gid", str(item["gid"]), item["name"])
        return
    raise Failed("group %s cannot have gid %s: %s has it. Next: set another gid" % (item["name"], item["gid"], other))
