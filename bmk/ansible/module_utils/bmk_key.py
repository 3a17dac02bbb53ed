# Copyright bmk contributors. Apache-2.0
"""The file with the key of secrets at rest: made once for a cluster, handed to each join, never replaced."""

from __future__ import annotations

import base64
import json
import secrets

from ansible.module_utils.bmk_batch import Failed, write_atomically

ENCRYPTION = "/etc/kubernetes/bmk/encryption.yaml"
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


def keys_of(text: str) -> list[dict[str, str]]:
    """The keys of a file of ours, newest first; none when it is not one."""
    try:
        providers = [p for resource in json.loads(text)["resources"] for p in resource["providers"]]
        keys = [key for p in providers for key in p.get("secretbox", {}).get("keys", ())]
        return keys if all(key["name"] and len(base64.b64decode(key["secret"])) == 32 for key in keys) else []
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def read() -> str:
    """ "" when it is not there."""
    try:
        with open(ENCRYPTION, errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def encryption(key: bytes) -> str:
    """The file with a first key."""
    return configuration([{"name": "key1", "secret": base64.b64encode(key).decode()}])


def configuration(keys: list[dict[str, str]]) -> str:
    """The API server's EncryptionConfiguration: what was there before can still be read."""
    body = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": ["secrets"], "providers": [{"secretbox": {"keys": keys}}, {"identity": {}}]}],
    }
    return json.dumps(body, indent=1) + "\n"
