"""A new data center: a file to edit that is already valid, and the inventory script beside it."""

from __future__ import annotations

import re
from pathlib import Path

from bmk.datacenter.allocate import write_addresses
from bmk.datacenter.locate import FILE
from bmk.datacenter.versions import newest_version
from bmk.errors import ConfigError

TEMPLATE = Path(__file__).with_name("template.yml")
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
    text = TEMPLATE.read_text(encoding="utf-8").replace("NAME", name).replace("KUBERNETES", newest_version())
    (directory / FILE).write_text(text, encoding="utf-8")
    script = directory / "inventory"
    script.write_text(_SCRIPT.format(directory=directory), encoding="utf-8")
    script.chmod(0o755)
    return [directory / FILE, script, write_addresses(directory).path]
