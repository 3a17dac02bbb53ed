"""The administrator's kubeconfig is ours: a host gives credentials, never a command or a server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.cluster.kubeconfig import LONGEST, credentials, kubeconfig
from bmk.errors import BmkError
from tests.admin_conf import AUTHORITY, HOLDER, OTHER, admin_conf, certificate, pem


def test_only_the_credentials_come_from_the_host() -> None:
    """A command to run, a proxy and the server that the host wrote are in no line of what bmk writes and uses."""
    command = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh", "args": ["-c", "id > /tmp/x"]}
    text = kubeconfig("par", ("10.0.0.10", 6443), credentials(admin_conf(**{"exec": command, "proxy-url": "http://x"})))
    assert "server: https://10.0.0.10:6443\n" in text
    assert not [word for word in ("exec", "/bin/sh", "10.0.0.66", "proxy") if word in text]
    assert kubeconfig("par", ("10.0.0.10", 6443), credentials(text)) == text
    assert "server: https://[fd00::1]:6443\n" in kubeconfig("par", ("fd00::1", 6443), credentials(text))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it has no certificate-authority-data"),
        (admin_conf() + admin_conf(), "it has 2 certificate-authority-data"),
        (admin_conf(key=pem(OTHER)), "the key is not that of the certificate"),
        (admin_conf(cert=certificate("a", HOLDER, "kubernetes", OTHER)), "not issued by its authority"),
        (admin_conf(ca=b"-----BEGIN CERTIFICATE-----\n"), ""),
        (admin_conf(key=AUTHORITY), ""),
        ("#" * (LONGEST + 1), "longer than 256 KiB"),
    ],
)
def test_what_does_not_hold_is_refused(text: str, why: str) -> None:
    """Missing, doubled, mismatched and broken parts are one error of that host, which says what to look at."""
    with pytest.raises(BmkError) as raised:
        credentials(text)
    assert why in raised.value.why
    assert "admin.conf" in raised.value.hint


@given(st.text() | st.builds(lambda a, b: f"client-key-data: {a}\n{b}", st.text("AZaz09+/="), st.text()))
def test_any_text_is_credentials_or_an_error(text: str) -> None:
    """Nothing that a host writes there ends a command with anything else."""
    with pytest.raises(BmkError):
        credentials(text)
