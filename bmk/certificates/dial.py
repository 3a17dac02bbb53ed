"""Which certificate somebody shows on a port: a handshake and nothing else, bounded in time and in bytes.

Nothing is believed of it: whoever wants to know whether it is right compares it.
"""

from __future__ import annotations

import socket
import ssl
import time

from bmk.certificates.certificate import Certificate, from_der

MOST = 1 << 18  # bytes that a handshake may bring; OpenSSL itself takes chains of 100 KB at most
_PIECE = 1 << 14


class Silent(Exception):
    """Nobody showed a certificate; the text says why, in words of ours."""


def served(address: str, port: int, seconds: float = 5.0) -> Certificate:
    """The certificate. Raises Silent after `seconds` altogether, however slowly the other side speaks."""
    end = time.monotonic() + seconds
    try:
        with socket.create_connection((address, port), seconds) as plain:
            return from_der(_handshake(plain, end))
    except TimeoutError:
        raise Silent(f"no answer in {seconds:g} s") from None
    except ssl.SSLError as error:
        raise Silent(f"no TLS: {error.reason or 'the handshake failed'}") from None
    except ConnectionRefusedError:
        raise Silent("nobody hears on this port") from None
    except OSError as error:
        raise Silent(error.strerror or type(error).__name__) from None
    except ValueError as error:
        raise Silent(f"what it shows is no certificate: {error}"[:200]) from None


def _handshake(plain: socket.socket, end: float) -> bytes:
    """A server that asks for a certificate of ours has shown its own by then, with TLS 1.3."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing, got = ssl.MemoryBIO(), ssl.MemoryBIO(), 0
    line = context.wrap_bio(incoming, outgoing)
    while True:
        try:
            line.do_handshake()
            return line.getpeercert(binary_form=True) or b""
        except ssl.SSLWantReadError:
            pass
        _wait(plain, end)
        plain.sendall(outgoing.read())
        _wait(plain, end)
        piece = plain.recv(_PIECE)
        if not piece:
            raise Silent("it hung up")
        got += len(piece)
        if got > MOST:
            raise Silent(f"it says more than {MOST >> 10} KiB")
        incoming.write(piece)


def _wait(plain: socket.socket, end: float) -> None:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    plain.settimeout(left)
