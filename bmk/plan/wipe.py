"""When a machine has to be installed, and when a person must say so by name first. Pure."""

from __future__ import annotations

from bmk.datacenter.resolve import Host
from bmk.plan.actual import Actual
from bmk.plan.disks import choose_disk


def needs_install(host: Host, actual: Actual) -> bool:
    """True when bmk has not put its image on this machine. A machine that answers with the pinned key has it."""
    if actual.ssh == "ok":
        return False
    return actual.installed is None or actual.installed.get("serial", host.serial) != host.serial


def why_confirm(host: Host, actual: Actual) -> str:
    """Why the wipe of this host needs its name typed; empty when it does not.

    Asked exactly where the ramdisk would refuse: swap, or what an installation of ours left unfinished, is no loss. A
    claimed grant is an installation that runs already: it was confirmed, or did not need to be, when it was opened.
    """
    if not needs_install(host, actual) or (actual.grant is not None and actual.grant.claimed):
        return ""
    if actual.again:
        return "it is installed, and is to be installed again"
    if actual.node == "ready":
        return f"a node of this name is Ready in cluster {host.cluster}"
    disk = choose_disk(host.disk, actual.inspection)
    return f"disk {disk.identity} holds {disk.holds}" if disk.foreign else ""
