# Copyright bmk contributors. Apache-2.0
"""Bootstrap tokens and certificate keys for one host and minutes. Runs on a control plane, with its own admin.conf."""

from __future__ import annotations

import re
import secrets

from ansible.module_utils.bmk_batch import Failed, command
from ansible.module_utils.bmk_kubeadm_once import KUBEADM, with_config

ADMIN = "/etc/kubernetes/admin.conf"
KUBECTL = "/usr/local/bin/kubectl"
PLACEHOLDER = "@CERTIFICATE_KEY@"


def mint(params):
    """{token, token_id, ca_hash, certificate_key}."""
    said = command(
        KUBEADM, "token", "create", "--kubeconfig", ADMIN, "--ttl", "%dm" % params["minutes"], "--description",
        "bmk: " + params["host"], "--print-join-command",
    )  # fmt: skip
    token = re.search(r"--token (\S+)", said)
    ca_hash = re.search(r"--discovery-token-ca-cert-hash (\S+)", said)
    if not token or not ca_hash:
        raise Failed("kubeadm minted no token for %s" % params["host"])
    return {
        "token": token.group(1),
        "token_id": token.group(1).split(".")[0],
        "ca_hash": ca_hash.group(1),
        "certificate_key": _upload(params["certificates"]) if params["certificates"] else "",
    }


def revoke(params):
    """Forget the token, and the certificates if any were uploaded. What is gone already is fine."""
    for name in ("bootstrap-token-" + params["token_id"], "kubeadm-certs"):
        command(KUBECTL, "--kubeconfig", ADMIN, "-n", "kube-system", "delete", "secret", name, "--ignore-not-found")
    return {}


def _upload(config):
    """Upload the certificates under a new key, which is in a file and in this answer only."""
    key = secrets.token_hex(32)
    with_config(
        config.replace(PLACEHOLDER, key),
        lambda path: command(
            KUBEADM, "init", "phase", "upload-certs", "--upload-certs", "--skip-certificate-key-print", "--config", path
        ),
    )
    return key
