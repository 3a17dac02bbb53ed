"""`bmk inventory`: the data center for Ansible, as an inventory script prints it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from bmk.cli.options import complete_hosts, dc_argument
from bmk.cli.output import dump, say

if TYPE_CHECKING:
    from bmk.datacenter.hosts import Timing
    from bmk.datacenter.resolve import DataCenter


@click.command(name="inventory")
@dc_argument
@click.option("--list", "listing", is_flag=True, help="Groups and the variables of all hosts (the default).")
@click.option("--host", metavar="HOST", shell_complete=complete_hosts, help="The variables of one host.")
@click.option(
    "-o", "--output", type=click.Choice(["json", "yaml"]), default="json", show_default=True, help="Format of stdout."
)
def command(dc: str, listing: bool, host: str | None, output: str) -> None:
    """Print the Ansible inventory of a data center.

    Beside each dc.yml lies a script `inventory` that calls this: ansible-playbook -i inventories/DC/inventory PLAYBOOK.
    Texts that could be taken for a template are marked, so that Ansible takes them to the letter.
    """
    from bmk.datacenter.credentials import vip_keys
    from bmk.datacenter.hosts import host_named, host_timing
    from bmk.datacenter.inventory import ansible_inventory, inert
    from bmk.datacenter.load import load_datacenter

    if listing and host:
        raise click.UsageError("--list and --host exclude each other")
    loaded = load_datacenter(dc)
    known = {**_artifacts(loaded), "vip_keys": vip_keys(loaded, loaded.state)}
    inventory = ansible_inventory(loaded, known, host_timing(loaded, _lab_timing(loaded)))
    _pin(loaded)
    if host is not None and host not in inventory["_meta"]["hostvars"]:
        host_named(loaded, host)
    dump(inert(inventory if host is None else inventory["_meta"]["hostvars"][host]), output)


def _pin(dc: DataCenter) -> None:
    """Write the pinned host keys of the journal to the file that the inventory names."""
    from bmk.datacenter.state import existing_journal, require_own
    from bmk.live.known_hosts import write_known_hosts

    require_own(dc)
    journal = existing_journal(dc)
    if journal is not None:
        write_known_hosts(dc, journal)


def _lab_timing(dc: DataCenter) -> Timing:
    """The timing profile that the lab's probe found at its last start; real machines have no such file."""

    try:
        facts = json.loads((dc.state / "lab" / "facts.json").read_text())
    except (OSError, ValueError):
        return "standard"
    return "emulated" if facts.get("timing") == "emulated" else "standard"


def _artifacts(dc: DataCenter) -> dict[str, Any]:
    """Variables of the mirror; without a mirror, none: hosts can still be listed and reached."""
    from bmk.artifacts.mirror import load_mirror, release_vars
    from bmk.boot.server import registry_certificate
    from bmk.datacenter.resolve import kubernetes_versions
    from bmk.datacenter.source import lock_path
    from bmk.errors import BmkError

    try:
        files, images = load_mirror(lock_path(dc.source, dc.spec.artifacts)).as_vars(dc.spec.deployer)
    except BmkError as error:
        say(f"bmk_artifacts and bmk_images are empty: {error}")
        return {}
    certificate = registry_certificate(dc, dc.state)
    releases = release_vars(kubernetes_versions(dc), dc.spec.deployer)
    return {"bmk_artifacts": files, "bmk_images": images, "releases": releases, "certificate": certificate}
