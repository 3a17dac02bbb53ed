"""Whether a kubelet shows a certificate of its cluster: a handshake that is judged, not only made."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import create_server

import pytest

from bmk.cluster.csr import serves
from bmk.lab.bmc.certificate import self_signed

pytestmark = pytest.mark.services


@contextmanager
def kubelet(certificate: Path) -> Iterator[int]:
    """Something that answers on a port of loopback with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with suppress(OSError), context.wrap_socket(connection, server_side=True):
                        pass

        threading.Thread(target=answer, daemon=True).start()
        yield listener.getsockname()[1]


def public(certificate: Path) -> str:
    text = certificate.read_text()
    return text[text.index("-----BEGIN CERTIFICATE") :]


def test_only_a_certificate_of_the_cluster_for_this_address_counts(tmp_path: Path) -> None:
    """A kubelet without one shows what it made itself, and a handshake alone would not tell."""
    good = self_signed(tmp_path / "good.pem", ["127.0.0.1"])
    other = self_signed(tmp_path / "other.pem", ["127.0.0.1"])
    elsewhere = self_signed(tmp_path / "elsewhere.pem", ["192.0.2.1"])
    with kubelet(good) as port:
        assert serves("127.0.0.1", public(good), port)
        assert not serves("127.0.0.1", public(other), port)
    with kubelet(elsewhere) as port:
        assert not serves("127.0.0.1", public(elsewhere), port)


def test_nobody_there_is_no_certificate(tmp_path: Path) -> None:
    """A port that nobody hears."""
    with create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert not serves("127.0.0.1", public(self_signed(tmp_path / "a.pem", ["127.0.0.1"])), port)
