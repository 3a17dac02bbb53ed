# Copyright bmk contributors. Apache-2.0
"""Manifests that a control plane applies to its cluster"""

from __future__ import annotations

DOCUMENTATION = """
module: bmk_applied
short_description: Manifests that a control plane applies to its cluster
description:
  - Takes the whole list in one call; check mode and a result per item.
  - Applied again when the file changes; what others changed in the cluster since is theirs.
options:
  section: {type: str, required: true, description: [Name under which the list is recorded.]}
  after: {type: bool, default: false, description: [Something this depends on changed, so do not believe the probe.]}
  items: {type: list, elements: dict, required: true, description: ["name, path."]}
author: [bmk contributors]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.bmk_batch import SPEC
from ansible.module_utils.bmk_entries import enter


def main() -> None:
    enter("bmk_applied", AnsibleModule(argument_spec=SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
