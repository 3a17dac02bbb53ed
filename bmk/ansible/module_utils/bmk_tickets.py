# Copyright bmk contributors. Apache-2.0
"""Bootstrap tokens and certificate keys for one host and minutes. Runs on a control plane, with its own admin.conf."""

from __future__ import annotations

import base64
import json
import re
import secrets
from typing import Any

from ansible.module_utils.bmk_batch import Failed, command
from ansible.module_utils.bmk_key import read
from ansible.module_utils.bmk_key_file import ENCRYPTION, keys_of
from ansible.module_utils.bmk_kubeadm_once import ADMIN, KUBEADM, with_config

KUBECTL = "/usr/local/bin/kubectl"
AUTOMATIC = "kubeadm:node-autoapprove-bootstrap"
PLACEHOLDER = "@CERTIFICATE_KEY@"


def mint(params: dict[str, Any]) -> dict[str, str]:
    """{token, token_id, ca_hash, certificate_key, encryption}; the last two for a control plane.

    The description says whom the ticket is for: bmk approves that name and no other (bmk/cluster/csr.py).
    """
    only_bmk_approves()
    _retire(params["host"])
    said = command(
        KUBEADM, "token", "create", "--kubeconfig", ADMIN, "--ttl", "%dm" % params["minutes"], "--description",
        "bmk: " + params["host"], "--print-join-command",
    )  # fmt: skip
    token = re.search(r"--token (\S+)", said)
    ca_hash = re.search(r"--discovery-token-ca-cert-hash (\S+)", said)
    if not token or not ca_hash:
        raise Failed("kubeadm minted no token for %s" % params["host"])
    known = {"token": token.group(1), "token_id": token.group(1).split(".")[0], "ca_hash": ca_hash.group(1)}
    try:
        if not params["certificates"]:
            return dict(known, certificate_key="", encryption="")
        return dict(known, certificate_key=_upload(params["certificates"]), encryption=_key_file())
    except Failed:
        revoke(dict(params, token_id=known["token_id"]))
        raise


def only_bmk_approves() -> None:
    """Delete the binding by which any ticket becomes any node; kubeadm makes it anew in init and upgrade."""
    command(KUBECTL, "--kubeconfig", ADMIN, "delete", "clusterrolebinding", "--ignore-not-found", AUTOMATIC)


def _retire(host: str) -> None:
    """A host that needs a ticket is no member: a Node of its name is of an old installation or a failed join.

    kubeadm refuses a name that is Ready, and the API notices only later that a machine was installed again.
    """
    command(KUBECTL, "--kubeconfig", ADMIN, "delete", "node", "--ignore-not-found", "--wait=false", host)


def key() -> dict[str, str]:
    """{encryption}: the file with the key of secrets at rest, for a control plane that lost its own; "" for none."""
    text = read()
    return {"encryption": text if keys_of(text) else ""}


def revoke(params: dict[str, Any]) -> dict[str, str]:
    """Forget the token and, after a control plane, the certificates it took. What is gone already is fine."""
    names = ["bootstrap-token-" + params["token_id"]]
    if params["certificates"]:
        names += ["kubeadm-certs", *_owners_of_certificates()]
    _kubectl("delete", "secret", "--ignore-not-found", *names)
    return {}


def _owners_of_certificates() -> list[str]:
    """Names of the tokens that kubeadm makes only to let uploaded certificates expire after two hours."""
    wanted = base64.b64encode(b"Proxy for managing TTL for the kubeadm-certs secret").decode()
    found = json.loads(
        _kubectl("get", "secret", "--field-selector", "type=bootstrap.kubernetes.io/token", "-o", "json")
    )
    return [s["metadata"]["name"] for s in found["items"] if s.get("data", {}).get("description") == wanted]


def _kubectl(*argv: str) -> str:
    said: str = command(KUBECTL, "--kubeconfig", ADMIN, "-n", "kube-system", *argv)
    return said


def _key_file() -> str:
    text = read()
    if not keys_of(text):
        raise Failed("%s is gone or damaged here; secrets at rest cannot be read without it" % ENCRYPTION)
    return str(text)


def _upload(config: str) -> str:
    """Upload the certificates under a new key, which is in a file and in this answer only."""
    key = secrets.token_hex(32)
    with_config(
        config.replace(PLACEHOLDER, key),
        lambda path: command(
            KUBEADM, "init", "phase", "upload-certs", "--upload-certs", "--skip-certificate-key-print", "--config", path
        ),
    )
    return key
