"""What a data center takes on the machine that runs bmk: names of `bmk.programs.PROGRAMS`. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from bmk.datacenter.model import Profile
from bmk.datacenter.resolve import DataCenter
from bmk.programs import PROGRAMS


def programs_of(dc: DataCenter) -> list[str]:
    """The programs that its hosts, their BMCs and its lab, if it is one, are reached and made with."""
    profiles = {host.profile_name: host.profile for host in dc.hosts.values()}.values()
    uses = {"hosts", *(use for profile in profiles for use in _uses(profile))}
    return [program for use in sorted(uses) for program in PROGRAMS[use]]


def _uses(profile: Profile) -> Iterator[str]:
    ipmi = profile.bmc.kind == "ipmi"
    if ipmi:
        yield "ipmi"
    if profile.lab is None:
        return
    yield from ("boot server", "lab", f"lab: {profile.lab.kind}")
    if ipmi:
        yield "lab: ipmi"
    if profile.lab.tpm:
        yield "lab: tpm"
