"""Pinned host keys as OpenSSH and Ansible read them."""

from __future__ import annotations

from pathlib import Path
from tempfile import NamedTemporaryFile

from bmk.datacenter.resolve import DataCenter
from bmk.journal import Journal


def write_known_hosts(dc: DataCenter, journal: Journal) -> Path:
    """Pinned keys of all hosts, replaced whole. Returns the file."""
    path = dc.state / "known_hosts"
    keys = journal.records("host_keys")
    lines = [f"{h.name},{h.address} {key}\n" for h in dc.hosts.values() for key in keys.get(h.name, ())]
    # Hosts pin side by side, so each write has a file of its own.
    with NamedTemporaryFile("w", dir=path.parent, prefix=".known_hosts-", delete=False) as file:
        file.write("".join(lines))
    return Path(file.name).replace(path)
