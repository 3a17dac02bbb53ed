# Copyright bmk contributors. Apache-2.0
"""What one host needs to join, minted on a live control plane for minutes, and torn up afterwards."""

from __future__ import annotations

DOCUMENTATION = """
module: bmk_ticket
short_description: Mint or revoke what one host needs to join a cluster
description:
  - Runs on a control plane whose API answers. Nothing secret is ever in an argument list, a log or the journal.
options:
  state: {type: str, required: true, choices: [minted, revoked], description: [Mint a ticket, or tear it up.]}
  host: {type: str, required: true, description: [Host that the ticket is for.]}
  minutes: {type: int, default: 15, description: [How long it lives if nobody tears it up.]}
  certificates:
    {type: str, default: "", description: [For a control plane, kubeadm configuration of the upload-certs phase.]}
  token_id: {type: str, default: "", description: [Which token to revoke.]}
author: [bmk contributors]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.bmk_batch import Failed
from ansible.module_utils.bmk_tickets import mint, revoke

SPEC = {
    "state": {"type": "str", "required": True, "choices": ["minted", "revoked"]},
    "host": {"type": "str", "required": True},
    "minutes": {"type": "int", "default": 15},
    "certificates": {"type": "str", "default": ""},
    "token_id": {"type": "str", "default": "", "no_log": False},
}


SAMPLE = {"token": "aaaaaa." + 16 * "a", "ca_hash": "sha256:none", "certificate_key": ""}  # of check mode


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    if module.check_mode:
        module.exit_json(changed=False, **SAMPLE)
    try:
        known = mint(module.params) if module.params["state"] == "minted" else revoke(module.params)
    except Failed as error:
        known = {"problem": str(error)}  # not a failure yet: the answer of this task is hidden, its problem must not be
    module.exit_json(changed=False, **known)


if __name__ == "__main__":
    main()
