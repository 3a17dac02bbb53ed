"""See bmk/ansible/known.py."""

from bmk.ansible.known import DirectModule as ActionModule

__all__ = ["ActionModule"]
