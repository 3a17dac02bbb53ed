"""`bmk inventory` for a lab of Vagrant's machines, as seen from outside of the lab's network."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from bmk.artifacts.mirror import load_mirror
from bmk.boot.server import registry_certificate
from bmk.datacenter.credentials import vip_keys
from bmk.datacenter.hosts import host_timing
from bmk.datacenter.inventory import ansible_inventory, inert
from bmk.datacenter.load import load_datacenter
from bmk.document import read_document
from bmk.lab.host.launcher import lab_dir


def inventory(reference: str) -> dict[str, Any]:
    """The same variables; ssh goes through the lab's ssh_config."""
    dc = load_datacenter(reference)
    files, images = load_mirror().as_vars(dc.spec.deployer)
    facts = lab_dir(dc.name) / "facts.json"
    emulated = facts.exists() and json.loads(facts.read_text())["timing"] == "emulated"
    timing = host_timing(dc, "emulated" if emulated else "standard")
    mine = {"certificate": registry_certificate(dc, dc.state), "vip_keys": vip_keys(dc, dc.state)}
    found = ansible_inventory(dc, {"bmk_artifacts": files, "bmk_images": images, **mine}, timing)
    for name in dc.hosts:
        found["_meta"]["hostvars"][name]["ansible_ssh_common_args"] = f"-F {dc.state}/ssh_config"
    return only(found, _platforms()) if _platforms() else found


def only(found: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The groups without the other hosts; their variables stay, because roles refer to other hosts. Pure."""
    groups = {name: group for name, group in found.items() if name != "_meta"}
    kept = {
        name: {**group, "hosts": [host for host in group.get("hosts", ()) if host in names]}
        for name, group in groups.items()
    }
    return {**kept, "_meta": found["_meta"]}


def _platforms() -> frozenset[str]:
    """Hosts of molecule's scenario; nothing when molecule did not ask."""
    file = os.environ.get("MOLECULE_FILE")
    scenario = read_document(Path(file)).value if file else {}
    return frozenset(platform["name"] for platform in scenario.get("platforms", ()))


if __name__ == "__main__":
    json.dump(inert(inventory(sys.argv[1])), sys.stdout)
