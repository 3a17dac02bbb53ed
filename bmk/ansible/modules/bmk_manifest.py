# Copyright bmk contributors. Apache-2.0
# Written by scripts/models from bmk/ansible/module_table.py.
"""Write the manifest of a host."""

from __future__ import annotations

DOCUMENTATION = """
module: bmk_manifest
short_description: Write the manifest of a host
description:
- Puts the records of all sections together in /etc/bmk/manifest.json, with the digest of what they were made from.
options:
  host:
    type: str
    required: true
    description:
    - Name of the host.
  digest:
    type: str
    required: true
    description:
    - Digest of the roles and of the variables of this host.
  keep:
    type: list
    default: null
    elements: str
    description:
    - Sections that still exist; records of others are deleted. Without it, none are.
author:
- bmk contributors
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.bmk_entries import enter

SPEC = {
    "host": {"type": "str", "required": True},
    "digest": {"type": "str", "required": True},
    "keep": {"type": "list", "default": None, "elements": "str"},
}


def main() -> None:
    enter("bmk_manifest", AnsibleModule(argument_spec=SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
