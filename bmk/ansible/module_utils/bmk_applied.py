# Copyright bmk contributors. Apache-2.0
"""Kind `applied`: manifests that a control plane applies to its cluster, again when the file changes."""

from __future__ import annotations

import os

from ansible.module_utils.bmk_batch import BatchKind, Item, command, write_atomically
from ansible.module_utils.bmk_downloads import file_hash

ADMIN = "/etc/kubernetes/admin.conf"
KUBECTL = "/usr/local/bin/kubectl"
APPLIED = "/var/lib/bmk/applied"


class Applied(BatchKind):
    """Items: {name, path}. What was applied last is noted by digest; what others changed since is theirs."""

    name = "applied"

    def desired(self, item: Item) -> Item:
        try:
            return {"sha256": file_hash(item["path"])}
        except OSError:
            return {"sha256": "that of a file still to come"}  # check mode, before the file is fetched

    def actual(self, item: Item) -> Item:
        try:
            with open(os.path.join(APPLIED, item["name"])) as file:
                return {"sha256": file.read().strip()}
        except OSError:
            return {"sha256": None}

    def apply(self, items: list[Item], actual: dict[str, Item]) -> None:
        for item in items:
            command(KUBECTL, "--kubeconfig", ADMIN, "apply", "--server-side", "--force-conflicts", "-f", item["path"])
            digest = self.desired(item)["sha256"] + "\n"
            write_atomically(os.path.join(APPLIED, item["name"]), digest.encode(), 0o600)

    def record(self, item: Item, desired: Item) -> Item:
        return {"name": item["name"], "path": item["path"], "desired": desired}
