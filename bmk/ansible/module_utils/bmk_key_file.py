# Copyright bmk contributors. Apache-2.0
"""The text of the file with the keys of secrets at rest: what bmk writes, and what it reads of one. Pure.

Imported on hosts by Ansible's modules, and on the deployer by what rotates the key.
"""

from __future__ import annotations

import base64
import json

ENCRYPTION = "/etc/kubernetes/bmk/encryption.yaml"


def keys_of(text: str) -> list[dict[str, str]]:
    """The keys of a file of ours, newest first; none when it is not one."""
    try:
        providers = [p for resource in json.loads(text)["resources"] for p in resource["providers"]]
        keys = [key for p in providers for key in p.get("secretbox", {}).get("keys", ())]
        return keys if all(key["name"] and len(base64.b64decode(key["secret"])) == 32 for key in keys) else []
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def key(name: str, secret: bytes) -> dict[str, str]:
    """One key, of 32 bytes, as it is in the file."""
    return {"name": name, "secret": base64.b64encode(secret).decode()}


def encryption(secret: bytes) -> str:
    """The file with a first key."""
    return configuration([key("key1", secret)])


def configuration(keys: list[dict[str, str]]) -> str:
    """The API server's EncryptionConfiguration: what was there before can still be read."""
    body = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": ["secrets"], "providers": [{"secretbox": {"keys": keys}}, {"identity": {}}]}],
    }
    return json.dumps(body, indent=1) + "\n"
