"""Which certificate somebody shows, whoever it is and however it behaves."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bmk.certificates.dial import Silent, served
from bmk.secrets.certificate import self_signed

pytestmark = pytest.mark.services


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Somebody on loopback who treats each connection so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with suppress(OSError), connection:
                        answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def digest(path: Path) -> str:
    return hashlib.sha256(x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)).hexdigest()


@pytest.mark.parametrize("asks", [ssl.CERT_NONE, ssl.CERT_REQUIRED])
def test_what_is_shown_is_what_is_seen(tmp_path: Path, asks: ssl.VerifyMode) -> None:
    """Also by who wants a certificate of ours, as etcd does."""
    pem = self_signed(tmp_path / "x.pem", "x", ["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.load_verify_locations(pem)
    context.verify_mode = asks

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True):
            pass

    with server(answer) as port:
        assert served("127.0.0.1", port).sha256 == digest(pem)


def drip(connection: socket.socket) -> None:
    """A byte of a handshake record now and then, for as long as anybody reads."""
    connection.sendall(b"\x16\x03\x03\x40\x00")
    for _ in range(400):
        connection.sendall(b"\x02")
        time.sleep(0.05)


def flood(connection: socket.socket) -> None:
    """Warnings without end, which OpenSSL reads over."""
    connection.recv(1 << 16)
    record = b"\x16\x03\x03\x40\x00" + b"\x00\x00\x00\x00" * 4096
    while True:
        connection.sendall(record)


def silent(connection: socket.socket) -> None:
    connection.recv(1 << 16)
    time.sleep(10)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (drip, "no answer in 1 s|no TLS"),
        (flood, "says more|no TLS"),
        (silent, "no answer in 1 s"),
        (lambda connection: connection.sendall(b"SSH-2.0-x\r\n" * 10), "no TLS"),
        (lambda connection: None, "it hung up|no TLS|reset"),
    ],
)
def test_whoever_misbehaves_is_silent_in_time(answer: Callable[[socket.socket], None], why: str) -> None:
    """However slowly, long or wrongly it speaks."""
    began = time.monotonic()
    with server(answer) as port, pytest.raises(Silent, match=why):
        served("127.0.0.1", port, 1.0)
    assert time.monotonic() - began < 5


def test_a_port_that_nobody_hears() -> None:
    """Is told as that."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Silent, match="nobody hears"):
        served("127.0.0.1", port)
