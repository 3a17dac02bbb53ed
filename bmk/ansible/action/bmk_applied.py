"""Written by scripts/models from bmk/ansible/module_table.py."""

from bmk.ansible.probe_cache import BatchModule as ActionModule

__all__ = ["ActionModule"]
