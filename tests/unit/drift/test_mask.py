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
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str) -> None:
    """Keys, tokens, passwords, whole private keys; in YAML, units, shell and URLs."""
    assert SECRET not in mask(text)
    assert SECRET not in masked_diff("/x", "a: 1\n" + text, "a: 2\n" + text)
    assert SECRET not in masked_diff("/x", "a: 1\n", text)


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
