"""The kernel with its modules and settings, and what the firmware boots."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bmk.drift.facts.fact import IN_CONTAINER, Fact, Found, Wanted, attributes, columns, pairs, words
from bmk.drift.kind import Rule, by_role
from bmk.drift.model import Desired, Difference, Repair

_FIRMWARE = (
    "bmk console {dc} {where} to set the firmware back in its setup; "
    "when it is meant: firmware: in dc.yml, and a new installation"
)
_CHANGING = ("initrd=", "BOOT_IMAGE=", "root=")  # what the boot loader adds differs with the way of booting


def _parse_kernel(lines: Sequence[str]) -> Found:
    said = pairs(lines)
    line = " ".join(word for word in said["cmdline"].split() if not word.startswith(_CHANGING))
    found: Found = {"firmware": {"value": said["firmware"]}, "container": {"value": said["container"]}}
    if said["container"] == "yes":  # the kernel is that of the machine around it
        return {"container": {"value": "yes"}}
    return found | {"release": {"value": said["release"]}, "cmdline": {"value": line}}


KERNEL = Fact(
    name="kernel",
    command=lambda _: (
        'echo "release=$(uname -r)"; echo "cmdline=$(cat /proc/cmdline)"; '
        "[ -d /sys/firmware/efi ] && echo firmware=uefi || echo firmware=bios; "
        f"{IN_CONTAINER} && echo container=yes || echo container=no"
    ),
    parse=_parse_kernel,
    baseline=attributes("value"),
    rules=(
        Rule("cmdline", "*", "security"),
        Rule("firmware", "*", "degraded", "installed in one mode, booted in another", next=_FIRMWARE),
        Rule("*", "*", "degraded"),
    ),
)


def _modules(wanted: Wanted) -> str:
    """Loaded or built in; in a container the kernel is that of the machine around it, and nothing is missing."""
    names = [name.replace("-", "_") for name in wanted.of("kernel_modules")]
    if not names:
        return ""
    there = '[ -d "/sys/module/$m" ] || grep -q "/$m.ko" "/lib/modules/$(uname -r)/modules.builtin"'
    return (
        f"c=no; {IN_CONTAINER} && c=yes; "
        f"for m in {words(names)}; do "
        f"if [ $c = yes ] || {there}; then printf '%s\\tyes\\n' \"$m\"; else printf '%s\\tno\\n' \"$m\"; fi; done"
    )


MODULES = Fact(
    name="kernel_modules",
    command=_modules,
    parse=lambda lines: {name: {"in_kernel": there == "yes"} for name, there in (columns(line, 2) for line in lines)},
    repair=by_role,
    rules=(Rule("*", "*", "degraded"),),
)

_SYSCTLS = "/proc/sys/"


def _settings(wanted: Wanted) -> str:
    paths = [_SYSCTLS + name.replace(".", "/") for name in wanted.of("sysctls")]
    return f"grep -H '' {words(paths)}" if paths else ""


def _parse_settings(lines: Sequence[str]) -> Found:
    found: Found = {}
    for line in lines:
        path, colon, value = line.partition(":")
        if not colon or not path.startswith(_SYSCTLS):
            raise ValueError(f"not a setting: {line[:80]!r}")
        found[path.removeprefix(_SYSCTLS).replace("/", ".")] = {"value": " ".join(value.split())}
    return found


SYSCTLS = Fact(
    name="sysctls",
    command=_settings,
    parse=_parse_settings,
    repair=by_role,
    rules=(
        Rule("kernel.*", "*", "security"),
        Rule("net.ipv4.conf.*", "*", "security"),
        Rule("*", "*", "degraded"),
    ),
)

_ENTRY = re.compile(r"Boot([0-9A-F]{4})\*? (.*?)(?:\t.*)?")
_SETTING = re.compile(r"(BootOrder|BootNext): ([0-9A-F]{4}).*")


def _parse_boot(lines: Sequence[str]) -> Found:
    """The first entry of UEFI's boot order by its label, and the entry that is set for the next boot only."""
    names = {m[1]: m[2] for line in lines if (m := _ENTRY.fullmatch(line))}
    chosen = {m[1]: m[2] for line in lines if (m := _SETTING.fullmatch(line))}
    keys = {"BootOrder": "first", "BootNext": "next"}
    return {keys[key]: {"value": names.get(number, number)} for key, number in chosen.items()}


def _reorder(difference: Difference, _: Desired) -> Repair:
    """The play sets the order, unless the host was started in the other firmware mode, in which there is none."""
    return "" if not difference.field and difference.have is None else "converge"


BOOT = Fact(
    name="boot",
    command=lambda _: f"{IN_CONTAINER} || [ ! -d /sys/firmware/efi ] || efibootmgr",
    parse=_parse_boot,
    baseline=attributes("value"),
    closed=("next",),
    repair=_reorder,
    next=_FIRMWARE,
    rules=(Rule("*", "*", "degraded", "the next boot goes elsewhere"),),
)
