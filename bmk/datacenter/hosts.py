"""Questions about the hosts of a loaded data center: which ones a command selects, how long they may take, which
install without a proof of identity, and which programs they need on the machine that runs bmk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from bmk.datacenter.inventory import groups_of
from bmk.datacenter.model import Profile
from bmk.datacenter.problems import did_you_mean
from bmk.datacenter.resolve import DataCenter, Host
from bmk.errors import ConfigError
from bmk.programs import PROGRAMS


def select_hosts(dc: DataCenter, names: Sequence[str] = (), limit: Sequence[str] = ()) -> tuple[Host, ...]:
    """Hosts that are named and within the limit, in the order of the file; all when neither is given.

    A limit is a host, rack, role, profile or cluster; commas separate several. Raises ConfigError for an unknown name.
    """
    for name in names:
        host_named(dc, name)
    wanted = [part.strip() for item in limit for part in item.split(",") if part.strip()]
    known = {name for host in dc.hosts.values() for name in selectors(host)} if wanted else set()
    for name in wanted:
        if name not in known:
            what = f"--limit {name}: there is no such host, rack, role, profile or cluster in {dc.name}"
            raise ConfigError(what, where=str(dc.source), hint=did_you_mean(name, known))
    return tuple(
        host
        for host in dc.hosts.values()
        if (not names or host.name in names) and (not wanted or not selectors(host).isdisjoint(wanted))
    )


def host_named(dc: DataCenter, name: str) -> Host:
    """The host of that name. Raises ConfigError with a did-you-mean."""
    if name not in dc.hosts:
        what = f"there is no host {name!r} in {dc.name}"
        raise ConfigError(what, where=str(dc.source), hint=did_you_mean(name, dc.hosts))
    return dc.hosts[name]


def selectors(host: Host) -> set[str]:
    """What `--limit` may say to mean this host: plain names and the names of inventory groups."""
    return {host.name, host.rack, host.profile_name, *([host.cluster] if host.cluster else []), *groups_of(host)}


Timing = Literal["standard", "emulated"]


def host_timing(dc: DataCenter, lab: Timing = "standard") -> dict[str, Timing]:
    """Timing profile by host. `lab`: the profile for virtual machines on this machine, as the lab's probe measured.

    `spec.timing` overrides it for all hosts; containers and real machines run at native speed.
    """
    return {host.name: _timing(dc, host, lab) for host in dc.hosts.values()}


def _timing(dc: DataCenter, host: Host, lab: Timing) -> Timing:
    if dc.spec.timing != "auto":
        return dc.spec.timing
    machine = host.profile.lab
    return lab if machine is not None and machine.kind in ("vm", "vagrant") else "standard"


@dataclass(frozen=True, slots=True)
class UnprovenProfile:
    """A profile with `attest: {way: none}`, its reason, and its hosts."""

    profile: str
    reason: str
    hosts: tuple[str, ...]

    def __str__(self) -> str:
        names = ", ".join(self.hosts[:3]) + (f" and {len(self.hosts) - 3} more" if len(self.hosts) > 3 else "")
        return f"no proof of which machine installs (attest: none, profile {self.profile}: {names}): {self.reason}"


def unproven(hosts: Iterable[Host]) -> Iterator[UnprovenProfile]:
    """One for each profile of these hosts that asks for no proof, by name."""
    found = sorted((h for h in hosts if h.profile.attestation.way == "none"), key=lambda h: h.profile_name)
    for profile, group in groupby(found, key=lambda h: h.profile_name):
        members = list(group)
        yield UnprovenProfile(profile, members[0].profile.attestation.reason or "", tuple(h.name for h in members))


def programs_of(dc: DataCenter) -> list[str]:
    """Programs that bmk starts for its hosts, their BMCs and its lab: names of `bmk.programs.PROGRAMS`."""
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
