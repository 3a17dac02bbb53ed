# Copyright bmk contributors. Apache-2.0
# Written by scripts/models from bmk/ansible/module_table.py.
"""Kernel modules, loaded or built in."""

from __future__ import annotations

DOCUMENTATION = """
module: bmk_kernel_modules
short_description: Kernel modules, loaded or built in
description:
- Takes the whole list in one call; check mode, diff and a result per item.
- What was set is recorded under the section, so that C(bmk_probe) can tell later whether it still holds.
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
    - name.
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
    enter("bmk_kernel_modules", AnsibleModule(argument_spec=SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
