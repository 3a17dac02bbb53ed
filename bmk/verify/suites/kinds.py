"""Tests that suites import: what a role wanted on a host, kind by kind, is what is there. One command for each."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bmk.verify.suites.record import Item

Recorded = Callable[[str], list[Item]]
_STAT = "QUOTING_STYLE=literal stat -c '%n|%F|%a|%U|%G|%N' -- {paths} 2>/dev/null; "  # %N: a link with its target
_IN_KERNEL = (
    "{ cut -d' ' -f1 /proc/modules; ls /sys/module; "
    "sed 's,.*/,,; s/[.]ko.*//; y/-/_/' /lib/modules/$(uname -r)/modules.builtin; } 2>/dev/null; true"
)
_TYPES = {"symbolic link": "link", "directory": "directory"}  # all else is a file, as in bmk_files
_ENABLED = ("enabled", "enabled-runtime", "static", "alias", "generated", "indirect")


def test_packages(host: Any, recorded: Recorded) -> None:
    """What the role installs is installed."""
    names = [item["name"] for item in recorded("packages")]
    out = host.check_output("dpkg-query -W -f '${db:Status-Abbrev}${Package}\\n'")
    there = {line[3:].strip() for line in out.splitlines() if line[1:2] == "i"}
    nothing([f"{name} is not installed" for name in names if name not in there])


def test_units(host: Any, recorded: Recorded) -> None:
    """What the role starts runs and comes back after a reboot; what it stops does neither."""
    items = recorded("units")
    names = " ".join(shlex.quote(item["name"]) for item in items)
    ask = 'echo "$(systemctl is-active -- $u) $(systemctl is-enabled -- $u 2>/dev/null) $u"'
    answers = [line.split(" ", 2) for line in host.check_output(f"for u in {names}; do {ask}; done").splitlines()]
    seen = {name: (active, enabled) for active, enabled, name in answers}
    nothing([wrong for item in items for wrong in _unit(item, *seen[item["name"]])])


def _unit(item: Item, active: str, enabled: str) -> list[str]:
    state = item.get("state") or "started"
    wrong = []
    if state != "any" and (active in ("active", "reloading", "activating")) != (state == "started"):
        wrong.append(f"{item['name']} is {active}")
    if (enabled in _ENABLED) != item["desired"]["enabled"]:
        wrong.append(f"{item['name']} is {enabled or 'not there'}")
    return wrong


def test_files(host: Any, recorded: Recorded) -> None:
    """Files are as the role wrote them: type, owner, mode, target, and content unless a service may write it."""
    items = recorded("files")
    hashed = [i["path"] for i in items if "sha256" in i["desired"] and i["desired"]["owner"] == "root"]
    hashes = f"sha256sum -- {_words(hashed)} 2>/dev/null; " if hashed else ""
    out = host.check_output(_STAT.format(paths=_words(i["path"] for i in items)) + hashes + "true")
    seen = _stats(out)
    digests = {line[66:]: line[:64] for line in out.splitlines() if line[64:66] == "  "}
    nothing([wrong for item in items for wrong in _file(item, seen, digests)])


def _file(item: Item, seen: Mapping[str, Item], digests: Mapping[str, str]) -> list[str]:
    path, desired = item["path"], item["desired"]
    if path not in seen:
        return [] if item.get("state") == "kept" or desired["type"] == "absent" else [f"{path} is not there"]
    there = {**seen[path], "sha256": digests.get(path, desired.get("sha256"))}
    return [f"{path}: {key} {there.get(key)}, not {value}" for key, value in desired.items() if there.get(key) != value]


def test_downloads(host: Any, recorded: Recorded) -> None:
    """Programs are there, root's, and nobody else may write them. (`bmk drift` reads all their bytes.)"""
    items = recorded("downloads")
    seen = _stats(host.check_output(_STAT.format(paths=_words(i["dest"] for i in items)) + "true"))
    wrong = []
    for item in items:
        found = seen.get(item["dest"])
        if found is None:
            wrong.append(f"{item['dest']} is not there")
        elif found["owner"] != "root" or (not item["unpack"] and found["mode"] != item["desired"]["mode"]):
            wrong.append(f"{item['dest']}: mode {found['mode']}, owner {found['owner']}")
    nothing(wrong)


def test_groups(host: Any, recorded: Recorded) -> None:
    """Groups have their number and nobody in them, also nobody whose first group they are."""
    items = recorded("groups")
    out = host.check_output(f"getent group {_words(i['name'] for i in items)}; getent passwd")
    lines = [line.split(":") for line in out.splitlines()]
    groups = {line[0]: line[2:] for line in lines if len(line) == 4}
    first = {line[3]: line[0] for line in lines if len(line) == 7}
    wrong = [f"{i['name']} is {groups.get(i['name'])}" for i in items if groups.get(i["name"]) != [str(i["gid"]), ""]]
    nothing(wrong + [f"{i['name']} is the group of {first[str(i['gid'])]}" for i in items if str(i["gid"]) in first])


def test_users(host: Any, recorded: Recorded) -> None:
    """Users have their number, which nobody else has, and a group of their own; nobody can log in as one of them."""
    items = recorded("users")
    lines = [
        line.split(":") for line in host.check_output("cat /etc/passwd; sed 's/^/group:/' /etc/group").splitlines()
    ]
    users = {line[0]: line for line in lines if len(line) == 7}
    groups = {line[1]: line[3:] for line in lines if line[0] == "group"}
    wrong = []
    for item in items:
        name, number = item["name"], str(item["uid"])
        found = users.get(name, [""] * 7)
        if (found[2], found[3], found[6]) != (number, number, item["desired"]["shell"]):
            wrong.append(f"{name} is {':'.join(found)}")
        if groups.get(name) != [number, ""]:
            wrong.append(f"its group {name} is {groups.get(name)}")
        wrong += [
            f"{other} has the number of {name}" for other, line in users.items() if line[2] == number and other != name
        ]
    nothing(wrong)


def test_kernel_modules(host: Any, recorded: Recorded, record: Any) -> None:
    """Kernel modules are loaded or built in. A container has the kernel of somebody else."""
    names = [item["name"].replace("-", "_") for item in recorded("kernel_modules") if not record.container]
    there = host.check_output(_IN_KERNEL).split()
    nothing([f"{name} is not in the kernel" for name in names if name not in there])


def test_sysctls(host: Any, recorded: Recorded) -> None:
    """Kernel settings are live, not only on disk."""
    items = {i["name"]: i["desired"]["value"] for i in recorded("sysctls") if i.get("own", True)}
    seen = settings(host, items)
    nothing([f"{name} = {seen.get(name)}, not {value}" for name, value in items.items() if seen.get(name) != value])


def settings(host: Any, names: Iterable[str]) -> dict[str, str]:
    """Live kernel settings by name."""
    out = host.check_output(f"cd /proc/sys; grep -H . {_words(n.replace('.', '/') for n in names)} 2>/dev/null; true")
    pairs = [line.partition(":") for line in out.splitlines()]
    return {path.replace("/", "."): " ".join(value.split()) for path, _, value in pairs}


def tight(host: Any, loosest: Mapping[str, tuple[str, str, int]]) -> None:
    """Fails for what is missing, is not of its owner (user, group), or allows more than its mode."""
    seen = _stats(host.check_output(_STAT.format(paths=_words(loosest)) + "true"))
    wrong = [f"{path} is not there" for path in loosest if path not in seen]
    for path, (user, group, mode) in loosest.items():
        found = seen.get(path, {"owner": user, "group": group, "mode": "0"})
        if (found["owner"], found["group"]) != (user, group) or int(found["mode"], 8) & ~mode:
            wrong.append(f"{path}: {found['mode']} {found['owner']}:{found['group']}, not {mode:04o} {user}:{group}")
    nothing(wrong)


def roots(mode: int, *paths: str) -> dict[str, tuple[str, str, int]]:
    """For `tight`: paths that are root's, with at most this mode."""
    return dict.fromkeys(paths, ("root", "root", mode))


def nothing(wrong: list[str]) -> None:
    """Fails with everything that is wrong."""
    assert not wrong, "; ".join(wrong)


def _stats(out: str) -> dict[str, Item]:
    """By path, from the lines of _STAT."""
    found = {}
    for line in out.splitlines():
        path, _, rest = line.partition("|")
        if rest:
            kind, mode, owner, group, named = rest.split("|", 4)
            known = {"type": _TYPES.get(kind, "file"), "mode": f"{int(mode, 8):04o}", "owner": owner, "group": group}
            found[path] = {**known, "target": named.removeprefix(f"{path} -> ")}
    return found


def _words(words: Iterable[str]) -> str:
    return " ".join(shlex.quote(word) for word in words)
