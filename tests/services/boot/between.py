"""A man in the middle, as an HTTP server on the machine itself: what he makes of a challenge and its answer."""

from __future__ import annotations

import base64
import json
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from bmk.agent.nonces.tpm import sealed
from bmk.agent.proof import HEADER
from bmk.agent.tpm.wire import SIGNER, endorsement_key
from bmk.boot.tpm.credential import make_credential

Said = dict[str, Any]
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _own_secret(asked: Said, _: Said) -> Said:
    """Everybody can make a credential for a TPM: it carries a secret of his."""
    ek, ak = endorsement_key(base64.b64decode(asked["ek"])), SIGNER.read(base64.b64decode(asked["ak"]))
    carried = os.urandom(32)
    credential, secret = make_credential(ek, ak.name, carried)
    parts = {"credential": credential, "secret": secret, "sealed": sealed(os.urandom(32), carried)}
    return {name: base64.b64encode(part).decode() for name, part in parts.items()}


def _own_key(asked: Said) -> Said:
    """He asks for a credential of a signing key of his own."""
    raw = bytearray(base64.b64decode(asked["ak"]))
    raw[-1] ^= 1
    return {**asked, "ak": base64.b64encode(raw).decode()}


def _watch(_: Said, answer: Said) -> Said:
    return answer


def _repeat(text: str) -> Callable[[Said, Said], Said]:
    return lambda _, __: dict(json.loads(text))


REQUESTS: Mapping[str, Callable[[Said], Said]] = {"own-key": _own_key}
ANSWERS: Mapping[str, Callable[[Said, Said], Said]] = {"own-secret": _own_secret}


@contextmanager
def between(url: str, how: str | None) -> Iterator[str]:
    """The URL to ask instead of `url`; `how` is in REQUESTS or ANSWERS, `watch`, or an earlier answer to repeat."""
    if how is None:
        yield url
        return
    request = REQUESTS.get(how, lambda asked: asked)
    answer = _repeat(how) if how.startswith("{") else ANSWERS.get(how, _watch)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(url, request, answer))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def _handler(
    url: str, ask: Callable[[Said], Said], reply: Callable[[Said, Said], Said]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            challenged = self.path.endswith("/challenge")
            if challenged:
                body = json.dumps(ask(json.loads(body))).encode()
            status, answer, proof = _passed_on(url + self.path, body, dict(self.headers))
            if challenged and status == HTTPStatus.OK:
                print(f"\nANSWERED {answer.decode().strip()}", flush=True)  # noqa: T201 - for who repeats it later
                answer = json.dumps(reply(json.loads(body), json.loads(answer))).encode()
            self.send_response(status)
            self.send_header(HEADER, proof)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Not on the machine's console."""

    return Handler


def _passed_on(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, str]:
    """Status, body and proof of the answer."""
    kept = {name: value for name, value in headers.items() if name in ("Authorization", HEADER, "Content-Type")}
    try:
        with _opener.open(urllib.request.Request(url, body, kept), timeout=20) as answer:
            return answer.status, answer.read(), answer.headers.get(HEADER, "")
    except urllib.error.HTTPError as error:
        return error.code, error.read(), ""
