# Copyright bmk contributors. Apache-2.0
# Written by scripts/models from bmk/ansible/module_table.py.
"""Facts of a host, and which recorded sections still hold, in one call."""

from __future__ import annotations

DOCUMENTATION = """
module: bmk_probe
short_description: Facts of a host, and which recorded sections still hold, in one call
description:
- Returns the facts the roles use, notes on limits of the environment, the state of kubeadm, and for every recorded
  section whether it still holds.
options:
  sections:
    type: bool
    default: true
    description:
    - Whether to compare the recorded sections, which reads files.
  digest:
    type: str
    default: ''
    description:
    - Manifest that the host should carry; sets current in the answer.
author:
- bmk contributors
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.bmk_entries import enter

SPEC = {
    "sections": {"type": "bool", "default": True},
    "digest": {"type": "str", "default": ""},
}


def main() -> None:
    enter("bmk_probe", AnsibleModule(argument_spec=SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
