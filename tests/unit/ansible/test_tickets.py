"""Tickets, with programs in place of kubectl and kubeadm that write down what they are called with."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import bmk_key, bmk_tickets
from ansible.module_utils.bmk_batch import Failed

TOKEN = "abcdef.0123456789abcdef"
JOIN = f"kubeadm join 10.0.0.1:6443 --token {TOKEN} --discovery-token-ca-cert-hash sha256:{'0' * 64}"
PROXY = base64.b64encode(b"Proxy for managing TTL for the kubeadm-certs secret").decode()
SECRETS = {"items": [
    {"metadata": {"name": "bootstrap-token-proxy1"}, "data": {"description": PROXY}},
    {"metadata": {"name": "bootstrap-token-other1"}, "data": {"description": "eA=="}},
]}  # fmt: skip
ASKED = {"host": "worker-1", "minutes": 15, "certificates": ""}


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """What both programs were called with, in order; the key of secrets at rest is a file of the test."""
    log = tmp_path / "calls"
    (tmp_path / "secrets").write_text(json.dumps(SECRETS))
    for constant, answers in (("KUBECTL", f"cat {tmp_path}/secrets"), ("KUBEADM", f"echo '{JOIN}'")):
        program = tmp_path / constant.lower()
        program.write_text(f'#!/bin/sh\necho "{constant.lower()} $*" >> {log}\n{answers}\n')
        program.chmod(0o755)
        monkeypatch.setattr(bmk_tickets, constant, str(program))
    monkeypatch.setattr(bmk_key, "ENCRYPTION", str(tmp_path / "encryption.yaml"))
    return lambda: log.read_text().splitlines()


def words(call: str) -> set[str]:
    return set(call.split())


def test_nobody_but_bmk_approves_before_a_ticket_exists(calls: Callable[[], list[str]]) -> None:
    """The binding by which any ticket becomes any node is deleted first, then a Node of that name."""
    ticket = bmk_tickets.mint(ASKED)
    assert (ticket["token"], ticket["token_id"], ticket["ca_hash"]) == (TOKEN, "abcdef", f"sha256:{'0' * 64}")
    assert (ticket["certificate_key"], ticket["encryption"]) == ("", "")
    binding, node, token = calls()
    assert {"delete", "clusterrolebinding", bmk_tickets.AUTOMATIC} <= words(binding)
    assert {"delete", "node", "worker-1"} <= words(node)
    assert {"token", "create", "15m", "worker-1"} <= words(token)


def test_a_control_plane_without_its_key_leaves_no_ticket(calls: Callable[[], list[str]]) -> None:
    """The key of secrets at rest is gone: the error says so, and the token that was minted is revoked."""
    with pytest.raises(Failed, match="gone or damaged"):
        bmk_tickets.mint({**ASKED, "certificates": f"key: {bmk_tickets.PLACEHOLDER}\n"})
    assert {"delete", "secret", "bootstrap-token-abcdef", "kubeadm-certs"} <= words(calls()[-1])


def test_uploaded_certificates_go_with_their_ticket(calls: Callable[[], list[str]]) -> None:
    """With the token goes what kubeadm keeps to let them expire, and no other token."""
    bmk_tickets.revoke({"token_id": "abcdef", "certificates": "forget"})
    gone: set[Any] = words(calls()[-1])
    assert {"bootstrap-token-abcdef", "kubeadm-certs", "bootstrap-token-proxy1"} <= gone
    assert "bootstrap-token-other1" not in gone


def test_a_worker_ticket_revokes_its_own_token_only(calls: Callable[[], list[str]]) -> None:
    """Certificates of another join that is under way stay."""
    bmk_tickets.revoke({"token_id": "abcdef", "certificates": ""})
    (call,) = calls()
    assert "bootstrap-token-abcdef" in words(call)
    assert "kubeadm-certs" not in words(call)
