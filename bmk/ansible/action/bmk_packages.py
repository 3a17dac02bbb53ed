"""See bmk/ansible/probe_cache.py."""

from bmk.ansible.probe_cache import ActionModule

__all__ = ["ActionModule"]
