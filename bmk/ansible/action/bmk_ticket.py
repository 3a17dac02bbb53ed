"""See bmk/ansible/probe_cache.py."""

from bmk.ansible.probe_cache import CachedModule


class ActionModule(CachedModule):
    """Tickets, with the arguments a task may leave out."""

    defaults = {"minutes": 15, "certificates": "", "token_id": ""}
