"""HTTPS to one BMC, as an adapter for requests: one origin, bounded in time and size, with a certificate to be trusted.

Whatever sits on top sends through here: sushy, redirects, links in documents, the places of sessions and of tasks.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import ssl
import time
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from bmk import permit
from bmk.bmc.access import Access, Trust
from bmk.bmc.retry import Busy
from bmk.errors import BmcError, ConfigError

LONGEST_ANSWER = 4 << 20  # bytes; the longest event logs of real BMCs have one or two millions
LONGEST_CALL = 32 << 20  # bytes of all answers to one call together
_PIECE = 1 << 16  # bytes; also what the head of an answer may have
_SHOWN = 200  # characters of what a BMC said
_SEE = (301, 302, 303)
_BOM = b"\xef\xbb\xbf"
_NO_TLS = {
    "WRONG_VERSION_NUMBER": "it does not speak TLS on this port",
    "HTTP_REQUEST": "it does not speak TLS on this port",
    "UNSUPPORTED_PROTOCOL": "it speaks only TLS versions before 1.2",
    "ALERT_PROTOCOL_VERSION": "it speaks only TLS versions before 1.2",
    "HANDSHAKE_FAILURE": "it has no cipher in common with this machine",
    "DH_KEY_TOO_SMALL": "its key exchange is too weak",
    "EE_KEY_TOO_SMALL": "the key of its certificate is too small",
}


class OneOrigin(HTTPAdapter):
    """Sends to one BMC and nowhere else. Raises BmcError and Busy, which requests and sushy let pass."""

    def __init__(self, access: Access, origin: str) -> None:
        self._access, self._origin = access, _origin(origin)
        self._context = _context(access.trust)
        self.begin()
        super().__init__()

    def begin(self) -> None:
        """A call begins: its exchanges share what one call may take."""
        self._until, self._left = time.monotonic() + self._access.timing.call, LONGEST_CALL

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        pin = self._access.trust.fingerprint
        kwargs |= {"assert_fingerprint": pin.removeprefix("sha256:")} if pin else {}
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:  # noqa: ARG002 - signature of requests
        """Certificates are judged by our context alone, whatever the caller or the environment says of `verify`."""
        host, _ = super().build_connection_pool_key_attributes(request, True, None)
        return host, {"cert_reqs": self._context.verify_mode}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing: the original would load the authorities that requests knows into our context."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:  # noqa: ARG002 - signature of requests
        """One exchange. A write that is redirected is not made a read, as requests would, which drops its body.

        A BMC that knows the place by another spelling (a slash at the end) gets the write there; else a redirect says
        where the outcome will be: what came of it is read back anyhow.
        """
        answer = self._exchange(request)
        place = answer.headers.get("Location")
        if request.method in ("GET", "HEAD") or answer.status_code not in _SEE or not place:
            return answer
        there, here = urljoin(request.url or "", place), request.url or ""
        self._refuse_elsewhere(there)
        if there != here and there.rstrip("/") == here.rstrip("/"):
            again = request.copy()
            again.url = there
            answer = self._exchange(again)
        if answer.status_code in _SEE:
            answer.headers.pop("Location", None)
        return answer

    def _exchange(self, request: requests.PreparedRequest) -> requests.Response:
        """Asks the permit for reads, too: a cancelled call ends at its next request, and its thread is free."""
        permit.demand()
        self._refuse_elsewhere(request.url or "")
        timing = self._access.timing
        seconds = min(timing.request, self._until - time.monotonic())
        if seconds <= 0:
            raise self._error(f"the BMC did not come to an end within {timing.call:.0f} s")
        self._context.begin(seconds, min(LONGEST_ANSWER, self._left) + _PIECE)
        try:
            answer = super().send(request, stream=True, timeout=(min(timing.connect, seconds), seconds))
            body = _body(answer, min(LONGEST_ANSWER, self._left))
        except _Flood:
            raise self._error("the BMC's answers are longer than any honest one") from None
        except requests.exceptions.SSLError as error:
            raise _no_tls(self._access, str(error)) from None
        except (requests.exceptions.RequestException, HTTPError, OSError) as error:
            raise Busy("no answer") from error
        self._left -= len(body)
        return _with(answer, body)

    def _refuse_elsewhere(self, url: str) -> None:
        if _origin(url) == self._origin:
            return
        what = f"the BMC points to another address, {url[:_SHOWN]!r}: nothing was sent there"
        self._access.tell("bmc.elsewhere", what, "error")
        raise BmcError(
            what,
            where=self._access.address,
            why="a BMC that was taken over could so collect passwords, or make bmk ask other machines",
            hint="check who runs on this BMC; change its password, and install its firmware anew",
        )

    def _error(self, what: str) -> BmcError:
        return BmcError(what, where=self._access.address, hint="restart the BMC, or update its firmware")


def restrict_session(session: requests.Session, adapter: OneOrigin) -> None:
    """All that this session sends goes through the adapter, whatever the environment says of proxies and passwords.

    A handshake costs a BMC's processor up to a second, so one conversation is one connection: `disconnect` ends it.
    sushy would close after each request, for BMCs that do not bear connections which last.
    """
    session.trust_env = False
    session.adapters.clear()
    for scheme in ("https://", "http://"):
        session.mount(scheme, adapter)
    session.headers.pop("Connection", None)


class _Flood(Exception):
    """More bytes than any honest answer has."""


class _Socket(ssl.SSLSocket):
    """Waits no longer than its exchange may last, and takes no more than it may bring."""

    context: _Context

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        self.settimeout(self.context.left())
        return self.context.took(super().recv_into(buffer, nbytes, flags))

    def send(self, data: Any, flags: int = 0) -> int:
        self.settimeout(self.context.left())
        return super().send(data, flags)


class _Context(ssl.SSLContext):
    """TLS as it is spoken with one BMC, and the bounds of the exchange that is under way."""

    sslsocket_class = _Socket
    _until, _bytes = 0.0, 0

    def begin(self, seconds: float, most: int) -> None:
        self._until, self._bytes = time.monotonic() + seconds, most

    def left(self) -> float:
        """Seconds until this exchange must be over. Raises TimeoutError when it must be now."""
        seconds = self._until - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the exchange took too long")
        return seconds

    def took(self, count: int) -> int:
        self._bytes -= count
        if self._bytes < 0:
            raise _Flood
        return count


def fingerprint_of(certificate: bytes) -> str:
    """Of a certificate in DER, as dc.yml writes it."""
    return f"sha256:{hashlib.sha256(certificate).hexdigest()}"


def shown_fingerprint(address: str, port: int | None, seconds: float) -> str:
    """Of the certificate that a BMC shows. Nothing is sent but the handshake. Raises BmcError."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((address, port or 443), seconds) as plain, context.wrap_socket(plain) as line:
            return fingerprint_of(line.getpeercert(binary_form=True) or b"")
    except OSError as error:
        raise BmcError(
            "no TLS with the BMC", where=address, why=str(error), hint="check `port` in the profile"
        ) from None


def _context(trust: Trust) -> _Context:
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if trust.fingerprint is not None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the fingerprint says more than both
        return context
    place = trust.authorities or os.environ.get("REQUESTS_CA_BUNDLE")
    if place is None:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(*([None, place] if Path(place).is_dir() else [place]))
    except OSError as error:  # of which ssl.SSLError is one
        raise ConfigError(
            "the authorities of the BMCs' certificates cannot be read",
            where=str(place),
            why=str(error),
            hint="name a PEM file in `authorities` of the profile's bmc",
        ) from None
    return context


def _origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port; nothing that equals an origin for what is no URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443}.get(parts.scheme)
    except ValueError:
        return "", "", None
    return parts.scheme, (parts.hostname or "").lower(), port


def _body(answer: requests.Response, most: int) -> bytes:
    """The whole body; unpacked, it is bounded as well."""
    body = bytearray()
    while piece := answer.raw.read(_PIECE, decode_content=True):
        body += piece
        if len(body) > most:
            answer.close()
            raise _Flood
    return bytes(body)


def _with(answer: requests.Response, body: bytes) -> requests.Response:
    """The answer with its body read. An error that no client could take apart is one without words."""
    body = body.removeprefix(_BOM)
    answer._content = body if answer.ok or _is_error(body) else b""
    answer._content_consumed = True
    return answer


def _is_error(body: bytes) -> bool:
    """Whether this is an error as Redfish words it, so that sushy may read it."""
    try:
        error = json.loads(body).get("error", {})
        details = error.get("@Message.ExtendedInfo") or []
        return all(isinstance(d, dict) for d in (details if isinstance(details, list) else [details]))
    except (ValueError, AttributeError, RecursionError):
        return False


def _not_pinned(access: Access, seen: str) -> BmcError:
    what = "the BMC's certificate is not the one that the file pins"
    access.tell("bmc.stranger", f"{what}: it shows {seen}", "error")
    return BmcError(
        what,
        where=access.address,
        why=f"it shows {seen}",
        hint="nothing was sent to it; when its certificate was changed on purpose, compare it with the BMC's own page "
        "and write it as bmc.fingerprint of the host",
    )


def _no_tls(access: Access, why: str) -> Exception:
    """What is wrong with the certificate or the protocol. A connection that broke off is only a try that failed."""
    if "Fingerprints did not match" in why:
        return _not_pinned(access, "sha256:" + why.rpartition('got "')[2][:64])
    if "certificate verify failed" in why or "CERTIFICATE_VERIFY" in why:
        found = re.search(r"certificate verify failed: ([^(]*)", why)
        return BmcError(
            "the BMC's certificate is not trusted",
            where=access.address,
            why=found[1].strip() if found else "",
            hint="name the file of your authority in `authorities` of the profile's bmc; or set `tls: pin` there, and "
            "for each host the fingerprint that `bmk fingerprint DC` shows and you compared",
        )
    for reason, text in _NO_TLS.items():
        if reason in why:
            return BmcError(
                f"no TLS with the BMC: {text}",
                where=access.address,
                why=why[-_SHOWN:],
                hint="check `port` in the profile's bmc; update the BMC's firmware",
            )
    return Busy("the connection broke off")
