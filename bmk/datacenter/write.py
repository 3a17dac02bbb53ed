"""Files that bmk writes about a data center: a new one to edit, its addresses.yml, and JSON Schemas for editors."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from bmk.datacenter.addresses import lines, settle
from bmk.datacenter.draft import Allocations
from bmk.datacenter.load import examine
from bmk.datacenter.locate import FILE
from bmk.datacenter.model import DataCenterFile, HostSpec
from bmk.datacenter.source import newest_version
from bmk.document import to_yaml
from bmk.errors import ConfigError

_TEMPLATE = Path(__file__).with_name("template.yml")
_SCRIPT = """\
#!/bin/sh
# For plain Ansible: ansible-playbook -i {directory}/inventory PLAYBOOK
exec bmk inventory "$(dirname "$0")" "$@"
"""


def start_datacenter(name: str, root: Path) -> list[Path]:
    """Write `root/name/` and return its files. Raises ConfigError when it is already there."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name):
        raise ConfigError(f"{name!r} is no name for a data center", hint="lower-case letters, digits and inner dashes")
    directory = root / name
    if (directory / FILE).exists():
        raise ConfigError(f"the data center {name} is already there", where=str(directory / FILE), hint="edit it")
    directory.mkdir(parents=True, exist_ok=True)
    text = _TEMPLATE.read_text(encoding="utf-8").replace("NAME", name).replace("KUBERNETES", newest_version())
    (directory / FILE).write_text(text, encoding="utf-8")
    script = directory / "inventory"
    script.write_text(_SCRIPT.format(directory=directory), encoding="utf-8")
    script.chmod(0o755)
    return [directory / FILE, script, write_addresses(directory).path]


_HEAD = """\
# Addresses and pod ranges that bmk allocated. `bmk validate --write` adds missing lines, drops those of hosts that are
# gone, and never changes another. Review and commit it with dc.yml: a changed line renumbers a running host.
"""


@dataclass(frozen=True, slots=True)
class AddressChanges:
    """Lines added to the file and lines dropped from it, as `addresses.NAME` or `pods.CLUSTER.NAME` -> value."""

    path: Path
    added: dict[str, str]
    dropped: dict[str, str]


def write_addresses(ref: str | Path) -> AddressChanges:
    """Bring the addresses.yml of a data center up to date. Raises ConfigError before it writes when dc.yml is wrong."""
    examined = examine(ref)
    examined.require_good()
    path, settled = examined.source.addresses_path, settle(examined.draft)
    old, new = lines(examined.draft.allocations), lines(settled)
    if old.keys() != new.keys():
        content = settled.model_dump(mode="json")
        text = _HEAD + to_yaml({key: value for key, value in content.items() if value})
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    added = {key: value for key, value in new.items() if key not in old}
    return AddressChanges(path, added, {key: value for key, value in old.items() if key not in new})


SCHEMAS = ("dc", "hosts", "addresses")
_DIALECT = "http://json-schema.org/draft-07/schema#"  # the newest that yaml-language-server reads


def schema(kind: str) -> dict[str, Any]:
    """The schema of `dc` (dc.yml), `hosts` (a rack's file) or `addresses` (addresses.yml)."""
    if kind == "dc":
        generated = DataCenterFile.model_json_schema()
        hosts = generated["$defs"]["Rack"]["properties"]["hosts"]
        listing = {key: hosts.pop(key) for key in ("type", "items")}
        hosts["anyOf"] = [listing, {"type": "string", "pattern": r"\.ya?ml$"}]
    elif kind == "hosts":
        generated = {"title": "Hosts of a rack", **TypeAdapter(list[HostSpec]).json_schema()}
    else:
        generated = Allocations.model_json_schema()
    return {"$schema": _DIALECT, **generated}
