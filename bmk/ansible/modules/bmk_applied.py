# Copyright bmk contributors. Apache-2.0
# Written by scripts/models from bmk/ansible/module_table.py.
"""Manifests that a control plane applies to its cluster."""

from __future__ import annotations

DOCUMENTATION = """
module: bmk_applied
short_description: Manifests that a control plane applies to its cluster
description:
- Takes the whole list in one call; check mode and a result per item.
- Applied again when the file changes; what others changed in the cluster since stays as it is.
options:
  section:
    type: str
    required: true
    description:
    - Name under which the list is recorded.
  after:
    type: bool
    default: false
    description:
    - Something this depends on changed since the probe, so ask the host.
  items:
    type: list
    required: true
    elements: dict
    description:
    - name, path.
author:
- bmk contributors
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.bmk_entries import enter

SPEC = {
    "section": {"type": "str", "required": True},
    "after": {"type": "bool", "default": False},
    "items": {"type": "list", "required": True, "elements": "dict"},
}


def main() -> None:
    enter("bmk_applied", AnsibleModule(argument_spec=SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
