"""See bmk/ansible/probe_cache.py."""

from bmk.ansible.probe_cache import DirectModule


class ActionModule(DirectModule):
    """kubeadm, with the arguments a task may leave out."""

    defaults = {"emulated": False, "settings": "", "encryption": ""}
