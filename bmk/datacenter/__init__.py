"""The data center file: load it with positions, check it, resolve it, and say it to Ansible and to editors."""
