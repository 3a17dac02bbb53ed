"""See bmk/ansible/probe_cache.py."""

from bmk.ansible.probe_cache import ProbeModule as ActionModule

__all__ = ["ActionModule"]
