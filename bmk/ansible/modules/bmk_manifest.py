# Copyright bmk contributors. Apache-2.0
"""Write down what a converge left on this host, as one file that can be compared later."""

from __future__ import annotations

DOCUMENTATION = """
module: bmk_manifest
short_description: Write the manifest of a host
description:
  - Puts the records of all sections together in /etc/bmk/manifest.json, with the digest of what they were made from.
options:
  host: {type: str, required: true, description: [Name of the host.]}
  digest: {type: str, required: true, description: [Digest of the roles and of the variables of this host.]}
  keep: {type: list, elements: str, required: true, description: [Sections that still exist; others are dropped.]}
author: [bmk contributors]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.bmk_facts import facts, notes
from ansible.module_utils.bmk_sections import write_manifest


def main() -> None:
    spec = {
        "host": {"type": "str", "required": True},
        "digest": {"type": "str", "required": True},
        "keep": {"type": "list", "elements": "str", "required": True},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    known = facts()
    changed, manifest = write_manifest(module.params, known, notes(known), check=module.check_mode)
    outputs = {"manifest": manifest["digest"], "notes": manifest["notes"], "content": manifest["content"]}
    module.exit_json(changed=changed, bmk_outputs=outputs)


if __name__ == "__main__":
    main()
