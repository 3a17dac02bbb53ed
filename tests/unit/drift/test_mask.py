"""Secrets are never shown, whichever side they are on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.drift.mask import mask, masked_diff

SECRET = "s3cr3t-canary"


@pytest.mark.parametrize(
    "text",
    [
        f"password: {SECRET}",
        f"  auth_pass {SECRET}",
        f'"token": "{SECRET}"',
        f"    client-key-data: {SECRET}",
        f"ExecStart=/x --bootstrap-token={SECRET} --v=2",
        f"Authorization: Bearer {SECRET}",
        f"url: https://user:{SECRET}@example.net/",
        f"-----BEGIN EC PRIVATE KEY-----\n{SECRET}\n-----END EC PRIVATE KEY-----",
        f"API_KEY={SECRET}",
        f"export AWS_SECRET_ACCESS_KEY={SECRET}",
        f'Environment="AWS_SECRET_ACCESS_KEY={SECRET}" "A=b"',
        f"aws_session_token = {SECRET}",
        f"machine example.net login me password {SECRET}",
        f"machine example.net\n  login me\n  password {SECRET}",
        f"users:\n- name: a\n  user:\n    client-key-data: {SECRET}\n    token: {SECRET}",
        f"password: |\n  {SECRET}\n  more\nnext: 1",
        f"- secret: >-\n    {SECRET}\n",
        f"kind: Secret\ndata:\n  a: {SECRET}\n  b: {SECRET}\ntype: Opaque",
        f"kind: Secret\nstringData:\n  conf: |\n    {SECRET}\n",
        f'{{"auths": {{"example.net": {{"auth": "{SECRET}"}}}}}}',
        f"PrivateKey = {SECRET}",
        f"DATABASE_URL=postgres://:{SECRET}@db/x",
        f"AccountKey={SECRET};EndpointSuffix=x",
        f"smtp_credential: {SECRET}",
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str) -> None:
    """Keys, tokens, passwords, whole private keys; in YAML, units, shell and URLs."""
    assert SECRET not in mask(text)
    assert SECRET not in masked_diff("/x", "a: 1\n" + text, "a: 2\n" + text)
    assert SECRET not in masked_diff("/x", "a: 1\n", text)


@pytest.mark.parametrize(
    "secret",
    [
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlIn0.c2lnbmF0dXJlLW9mLWl0",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "AGE-SECRET-KEY-1QYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQ3ZNW8",
        "$6$rounds=5000$saltsalt$U2hvdWxkTm90QmVTaG93bkF0QWxsTmV2ZXJFdmVyMTIz",
        "abcdef.0123456789abcdef",
        "kH3vX9pLq2Zr8TnWc5Yb1Mf7Gd4Js6Ea0UoIxPiQeRh",
    ],
)
def test_a_secret_is_known_by_its_form(secret: str) -> None:
    """A value whose name says nothing is masked when its own form says what it is."""
    assert secret not in mask(f"value: {secret}\n")
    assert secret not in mask(f"run {secret} now")


@pytest.mark.parametrize(
    "text",
    [
        "sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "path: /var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/12/fs",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8c3vX9pLq2Zr8TnWc5Yb1Mf7Gd4Js6Ea0UoIxPiQe root@deployer",
        "image: registry:5000/kube-apiserver@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "ExecStart=/usr/bin/kubelet --config=/var/lib/kubelet/config.yaml --node-ip=10.0.0.1",
        "kind: ConfigMap\ndata:\n  a: b",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """Digests, paths, public keys and settings are what a person needs to see in a diff."""
    assert mask(text) == text


def test_the_rest_is_readable() -> None:
    """A diff says what changed, and that a secret did without telling it."""
    diff = masked_diff("/etc/x", "mode: a\nport: 1\n", "mode: a\nport: 2\n")
    assert "-port: 1" in diff
    assert "+port: 2" in diff
    assert masked_diff("/x", "password: one\n", "password: two\n") == "(only what is masked differs)"


@given(st.text(max_size=300))
def test_masking_never_fails_and_is_stable(text: str) -> None:
    """Any text may come from a host; masking twice changes nothing more."""
    assert mask(mask(text)) == mask(text)


@pytest.mark.parametrize(
    "unit", ["token", "a", "a-", "-eyJ", "token ", "'token", "://a:", "\n  token: |\n", "$6$", "-gho_"]
)
def test_masking_does_not_cost_the_square_of_a_length(unit: str) -> None:
    """A host may choose its texts: half a million characters end, whatever they repeat (a square would be an hour)."""
    assert mask(unit * (500_000 // len(unit)))
