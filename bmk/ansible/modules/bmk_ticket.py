# Copyright bmk contributors. Apache-2.0
# Written by scripts/models from bmk/ansible/module_table.py.
"""Mint or revoke what one host needs to join a cluster."""

from __future__ import annotations

DOCUMENTATION = """
module: bmk_ticket
short_description: Mint or revoke what one host needs to join a cluster
description:
- Runs on a control plane whose API answers. Nothing secret is ever in an argument list, a log or the journal.
options:
  state:
    type: str
    required: true
    choices:
    - minted
    - revoked
    - key
    description:
    - Mint a ticket, revoke it, or show the key of secrets at rest to a control plane that lost it.
  host:
    type: str
    required: true
    description:
    - Host that the ticket is for.
  minutes:
    type: int
    default: 15
    description:
    - How long it is valid if nobody revokes it.
  certificates:
    type: str
    default: ''
    description:
    - For a control plane, kubeadm configuration of the upload-certs phase.
  token_id:
    type: str
    default: ''
    description:
    - Which token to revoke.
author:
- bmk contributors
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.bmk_entries import enter

SPEC = {
    "state": {"type": "str", "required": True, "choices": ["minted", "revoked", "key"]},
    "host": {"type": "str", "required": True},
    "minutes": {"type": "int", "default": 15},
    "certificates": {"type": "str", "default": ""},
    "token_id": {"type": "str", "default": "", "no_log": False},
}


def main() -> None:
    enter("bmk_ticket", AnsibleModule(argument_spec=SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
