"""See bmk/ansible/probe_cache.py."""

from bmk.ansible.probe_cache import DirectModule


class ActionModule(DirectModule):
    """Tickets, with the arguments a task may leave out."""

    defaults = {"minutes": 15, "certificates": "", "token_id": ""}
