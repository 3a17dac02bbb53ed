"""See bmk/ansible/probe_cache.py."""

from bmk.ansible.probe_cache import ManifestModule as ActionModule

__all__ = ["ActionModule"]
