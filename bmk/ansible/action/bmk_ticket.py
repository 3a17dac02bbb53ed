"""See bmk/ansible/known.py."""

from bmk.ansible.known import DirectModule


class ActionModule(DirectModule):
    """Tickets, with the arguments a task may leave out."""

    defaults = {"minutes": 15, "certificates": "", "token_id": ""}
