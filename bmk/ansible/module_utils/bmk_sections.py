# Copyright bmk contributors. Apache-2.0
"""Records of what was set, compared with what is there; and the manifest that they add up to."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from ansible.module_utils import bmk_batch
from ansible.module_utils.bmk_applied import Applied
from ansible.module_utils.bmk_batch import write_atomically
from ansible.module_utils.bmk_downloads import Downloads, keep_hashes
from ansible.module_utils.bmk_files import Files
from ansible.module_utils.bmk_groups import GroupsKind
from ansible.module_utils.bmk_kernel_modules import KernelModules
from ansible.module_utils.bmk_packages import Packages
from ansible.module_utils.bmk_sysctls import Sysctls
from ansible.module_utils.bmk_units import Units
from ansible.module_utils.bmk_users import Users

MANIFEST = "/etc/bmk/manifest.json"
KINDS = (Applied, Downloads, Files, GroupsKind, KernelModules, Packages, Sysctls, Units, Users)


def sections() -> dict[str, Any]:
    """Per record `<section>.<kind>`: {inputs, holds, differs: [ids]}; and `manifest`: {digest} or None."""
    kinds = {kind.name: kind() for kind in KINDS}
    found = {}
    for name, record in _records().items():
        kind = kinds[record["kind"]]
        differs = [item[kind.key] for item in record["items"] if kind.actual(item) != item["desired"]]
        found[name] = {"inputs": record["inputs"], "holds": not differs, "differs": differs}
    keep_hashes()
    found["manifest"] = {"inputs": _manifest().get("digest"), "holds": True, "differs": []}
    return found


def write_manifest(
    params: dict[str, Any], facts: dict[str, Any], notes: list[str], check: bool
) -> tuple[bool, dict[str, Any]]:
    """The manifest of this host, written when it says something new. Returns (changed, manifest).

    `keep` names sections, whatever their kinds; records of others are deleted: of roles that are gone, of one repair.
    """
    there, keep = _records(), params.get("keep")
    records = {name: r for name, r in there.items() if keep is None or name.rpartition(".")[0] in keep}
    body = {
        "schema": 1,
        "host": params["host"],
        "digest": params["digest"],
        "environment": {key: facts[key] for key in ("os", "os_version", "kernel", "cgroup", "container")},
        "notes": notes,
        "sections": {name: {"inputs": r["inputs"], "items": r["items"]} for name, r in records.items()},
    }
    body["content"] = bmk_batch.digest(body)
    old = _manifest()
    changed = {k: v for k, v in old.items() if k != "at"} != body
    if not check:
        for name in set(there) - set(records):
            os.unlink(os.path.join(bmk_batch.RECORDS, name + ".json"))
    if changed and not check:
        text = json.dumps(dict(body, at=int(time.time())), indent=1, sort_keys=True) + "\n"
        write_atomically(MANIFEST, text.encode(), 0o600)
    return changed, body


def _records() -> dict[str, Any]:
    try:
        names = sorted(os.listdir(bmk_batch.RECORDS))
    except OSError:
        return {}
    found = {}
    for name in names:
        if name.endswith(".json") and not name.startswith("."):
            record = _load(os.path.join(bmk_batch.RECORDS, name))
            if record:
                found[name[: -len(".json")]] = record
    return found


def _manifest() -> dict[str, Any]:
    return _load(MANIFEST) or {}


def _load(path: str) -> Any:
    try:
        with open(path, "rb") as file:
            return json.loads(file.read())
    except (OSError, ValueError):
        return None
