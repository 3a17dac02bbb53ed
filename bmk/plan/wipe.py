"""When a machine has to be installed, and when a person must say so by name first. Pure."""

from __future__ import annotations

from bmk.datacenter.resolve import Host
from bmk.disks import plain_serial
from bmk.identity import same_serial, same_uuid
from bmk.journal.records import InstallationRecord
from bmk.plan.actual import Actual
from bmk.plan.disks import choose_disk


def needs_install(host: Host, actual: Actual) -> bool:
    """True when bmk has not put its image on this machine, or what it put there was taken out of its cluster.

    A machine that answers with the pinned key has the image.
    """
    if actual.again or actual.removed:
        return True
    if actual.ssh == "ok":
        return False
    return actual.installed is None or bool(replaced(host, actual.installed))


def replaced(host: Host, installed: InstallationRecord) -> str:
    """What of the installed machine is another one in the file: "machine", "disk", or "" when it is the same."""
    serial = same_serial(host.serial, installed.serial)
    if serial is False or (serial is None and same_uuid(host.uuid, installed.uuid) is False):
        return "machine"
    wanted, written = plain_serial(host.disk.serial), plain_serial(installed.disk_serial)
    return "disk" if wanted and written and wanted != written else ""


def why_install(host: Host, actual: Actual) -> str:
    """In words, for a host that needs it."""
    if actual.again:
        return "to be installed again"
    if actual.installed is None:
        return "not installed"
    what = replaced(host, actual.installed)
    return f"the file names another {what} than the one that is installed" if what else "taken out of its cluster"


def why_confirm(host: Host, actual: Actual) -> str:
    """Why the wipe of this host needs its name typed; empty when it does not.

    Asked exactly where the ramdisk would refuse: swap, or what an installation of ours left unfinished, is no loss. A
    claimed grant is an installation that runs already: it was confirmed, or did not need to be, when it was opened.
    """
    if not needs_install(host, actual) or (actual.grant is not None and actual.grant.claimed):
        return ""
    if actual.again:
        return "it is installed, and is to be installed again"
    if actual.removed and actual.installed is not None and not replaced(host, actual.installed):
        return "it is installed, and was taken out of its cluster"
    if actual.node == "ready":
        return f"a node of this name is Ready in cluster {host.cluster}"
    disk = choose_disk(host.disk, actual.inspection)
    return f"disk {disk.identity} holds {disk.holds}" if disk.foreign else ""
