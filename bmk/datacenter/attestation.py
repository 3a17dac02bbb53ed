"""Which hosts install without a proof of which machine they are, and why: an exception that is shown. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from bmk.datacenter.resolve import Host


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
