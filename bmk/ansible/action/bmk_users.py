"""See bmk/ansible/known.py."""

from bmk.ansible.known import ActionModule

__all__ = ["ActionModule"]
