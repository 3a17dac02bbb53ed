"""What converges left on a host: the records of their sections, the manifest, and how far kubeadm came. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

Item = dict[str, Any]
# one command: each file after a line with its path
READ = "tail -v -n +1 /etc/bmk/manifest.json /etc/bmk/kubeadm.json /var/lib/bmk/sections/*.json 2>/dev/null || true"
# sections whose name is not that of the role that writes them
_OF = {
    "boot_server_users": "boot_server",
    "drift_timer_directories": "drift_timer",
    "kubeadm": "kubelet",
    "cluster_plugin": "cluster_network",
}


@dataclass(frozen=True, slots=True)
class Record:
    """`sections` is items by `<section>.<kind>`; `manifest` {} where none is; `joined`: a node of a cluster"""

    sections: dict[str, list[Item]]
    manifest: dict[str, Any]
    joined: bool

    @property
    def roles(self) -> set[str]:
        """Roles that ran here. A worker writes nothing of its own: it is who joined and is no control plane."""
        found = {role_of(name) for name in self.sections}
        return found | ({"worker"} if self.joined and "control_plane" not in found else set())

    @property
    def container(self) -> bool:
        """Whether the kernel belongs to a machine around this host."""
        return bool(self.manifest.get("environment", {}).get("container"))

    def items(self, role: str, kind: str) -> list[Item]:
        """What the role wants of this kind, from all its sections."""
        wanted = [n for n in sorted(self.sections) if role_of(n) == role and n.rpartition(".")[2] == kind]
        return [item for name in wanted for item in self.sections[name]]


def role_of(section: str) -> str:
    """The role that writes `<section>.<kind>`."""
    name = section.rpartition(".")[0]
    return _OF.get(name, name)


def parse(said: str) -> Record:
    """From what READ says. A file that is no JSON counts as missing."""
    parts = re.split(r"^==> (.+) <==$", said, flags=re.MULTILINE)
    files = {path: _json(text) for path, text in zip(parts[1::2], parts[2::2], strict=True)}
    records = [body for path, body in files.items() if path.startswith("/var/lib/bmk/sections/") and body]
    sections = {f"{body['section']}.{body['kind']}": body["items"] for body in records}
    joined = files.get("/etc/bmk/kubeadm.json", {}).get("state") == "joined"
    return Record(sections, files.get("/etc/bmk/manifest.json", {}), joined)


def _json(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except ValueError:
        return {}
