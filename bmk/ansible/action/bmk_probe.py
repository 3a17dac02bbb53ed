"""See bmk/ansible/known.py."""

from bmk.ansible.known import ProbeModule as ActionModule

__all__ = ["ActionModule"]
