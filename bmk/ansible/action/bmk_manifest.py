"""See bmk/ansible/known.py."""

from bmk.ansible.known import ManifestModule as ActionModule

__all__ = ["ActionModule"]
