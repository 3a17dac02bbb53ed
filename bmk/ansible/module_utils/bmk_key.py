# Copyright bmk contributors. Apache-2.0
"""The file with the keys of secrets at rest: made once for a cluster, handed to each join, never replaced here.

`bmk certs rotate-encryption-key` is the only one that brings another key.
"""

from __future__ import annotations

import secrets

from ansible.module_utils.bmk_batch import Failed, write_atomically
from ansible.module_utils.bmk_key_file import ENCRYPTION, configuration, encryption, keys_of

LOST = (
    "%s is gone or damaged, and no other control plane has it: without its key nobody can read the secrets in etcd, "
    "and bmk makes no new one over them. An API server that still runs here knows it, so do not restart it. Next: put "
    "the file back from a backup of this host; without one, `kubectl get secrets -A -o yaml` to a safe place meanwhile"
)


def first_key(of_others: str, action: str) -> None:
    """The first control plane makes the key, the others bring it with their ticket."""
    if of_others:
        write_atomically(ENCRYPTION, of_others.encode(), 0o600)
    elif action == "init" and not read():
        write_atomically(ENCRYPTION, encryption(secrets.token_bytes(32)).encode(), 0o600)


def keep_key(of_others: str, check: bool) -> list[str]:
    """Paths that were repaired: the file as bmk writes it with its key, or with the key of another control plane.

    Never with a new key: what is encrypted in etcd could not be read with it.
    """
    text = read()
    keys = keys_of(text) or keys_of(of_others)
    if not keys:
        raise Failed(LOST % ENCRYPTION)
    wanted = configuration(keys)
    if text == wanted:
        return []
    if not check:
        write_atomically(ENCRYPTION, wanted.encode(), 0o600)
    return [ENCRYPTION]


def read() -> str:
    """ "" when it is not there."""
    try:
        with open(ENCRYPTION, errors="replace") as file:
            return file.read()
    except OSError:
        return ""
