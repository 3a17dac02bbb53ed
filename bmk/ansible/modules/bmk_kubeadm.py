# Copyright bmk contributors. Apache-2.0
# Written by scripts/models from bmk/ansible/module_table.py.
"""Run kubeadm init, join, upgrade or reset once, safe to be interrupted."""

from __future__ import annotations

DOCUMENTATION = """
module: bmk_kubeadm
short_description: Run kubeadm init, join, upgrade or reset once, safe to be interrupted
description:
- A finished init or join is detected and left alone. An unfinished one is reset and done again.
- C(refresh) renders the files that kubeadm wrote once more and replaces those that differ.
- C(upgrade) brings a host to C(version), the first control plane with the whole cluster's configuration.
- C(reset) ends what runs and takes credentials and the data of etcd away.
- Waits for a run of kubeadm that an earlier, killed bmk left behind.
options:
  action:
    type: str
    required: true
    choices:
    - init
    - join
    - refresh
    - reset
    - upgrade
    description:
    - What to do.
  cluster:
    type: str
    required: true
    description:
    - Name of the cluster.
  config:
    type: str
    default: ''
    description:
    - kubeadm's configuration; holds secrets.
  settings:
    type: str
    default: ''
    description:
    - Configuration of an init on this host, to render files by.
  version:
    type: str
    default: ''
    description:
    - With C(upgrade), the version that kubeadm brings the host to.
  encryption:
    type: str
    default: ''
    description:
    - The file with the key of secrets at rest, of another host.
  environment:
    type: dict
    default: {}
    description:
    - Further environment variables of kubeadm.
  for_good:
    type: bool
    default: false
    description:
    - With C(reset), whether nothing of it starts at the next boot.
author:
- bmk contributors
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.bmk_entries import enter

SPEC = {
    "action": {"type": "str", "required": True, "choices": ["init", "join", "refresh", "reset", "upgrade"]},
    "cluster": {"type": "str", "required": True},
    "config": {"type": "str", "default": "", "no_log": True},
    "settings": {"type": "str", "default": ""},
    "version": {"type": "str", "default": ""},
    "encryption": {"type": "str", "default": "", "no_log": True},
    "environment": {"type": "dict", "default": {}},
    "for_good": {"type": "bool", "default": False},
}


def main() -> None:
    enter("bmk_kubeadm", AnsibleModule(argument_spec=SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
