"""See bmk/ansible/known.py."""

from bmk.ansible.known import DirectModule


class ActionModule(DirectModule):
    """kubeadm, with the arguments a task may leave out."""

    defaults = {"emulated": False, "settings": "", "encryption": ""}
