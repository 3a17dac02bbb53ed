"""Which daemons a lab runs: the boot server's (from `bmk.boot`), and an emulator for every kind of BMC in it."""

from __future__ import annotations

import sys
from importlib import util

from bmk.datacenter.resolve import DataCenter
from bmk.lab.services import Service


def services_of(dc: DataCenter, reference: str) -> list[Service]:
    """Everything to start, in order. `reference` is the data center as the user named it."""
    kinds = {h.profile.bmc.kind for h in dc.hosts.values() if h.profile.lab is not None}
    found = []
    if "redfish" in kinds and util.find_spec("bmk.lab.redfish"):
        found.append(Service("redfish", (sys.executable, "-m", "bmk.lab.redfish", "--dc", reference)))
    return found
