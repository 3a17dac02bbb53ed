"""The kernel that runs, its command line, and the machine's firmware mode."""

from __future__ import annotations

from collections.abc import Sequence

from bmk.drift.facts.fact import IN_CONTAINER, Fact, Found, Wanted, pairs

_MOVING = ("initrd=", "BOOT_IMAGE=", "root=")  # what the boot loader adds differs with the way of booting


def command(_: Wanted) -> str:
    return (
        'echo "release=$(uname -r)"; echo "cmdline=$(cat /proc/cmdline)"; '
        "[ -d /sys/firmware/efi ] && echo firmware=uefi || echo firmware=bios; "
        f"{IN_CONTAINER} && echo container=yes || echo container=no"
    )


def parse(lines: Sequence[str]) -> Found:
    said = pairs(lines)
    line = " ".join(word for word in said["cmdline"].split() if not word.startswith(_MOVING))
    found: Found = {"firmware": {"value": said["firmware"]}, "container": {"value": said["container"]}}
    if said["container"] == "yes":  # the kernel is that of the machine around it
        return {"container": {"value": "yes"}}
    return found | {"release": {"value": said["release"]}, "cmdline": {"value": line}}


FACT = Fact("kernel", command, parse)
