"""See bmk/ansible/probe_cache.py."""

from bmk.ansible.probe_cache import CachedModule


class ActionModule(CachedModule):
    """kubeadm, with the arguments a task may leave out."""

    defaults = {"emulated": False, "settings": "", "encryption": ""}
