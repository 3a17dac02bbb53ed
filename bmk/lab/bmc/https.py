"""HTTPS for the lab's Redfish BMCs: a WSGI server whose connections last, as those of real BMCs do."""

from __future__ import annotations

import io
import ssl
import sys
from typing import Any
from wsgiref.types import WSGIApplication

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.wrappers import Response

IDLE = 60.0  # seconds after which a silent connection is closed


class Conversation(WSGIRequestHandler):
    """One connection, one request after the other. werkzeug's own closes after each: it leaves bodies unread."""

    protocol_version = "HTTP/1.1"
    wbufsize = (
        1 << 16
    )  # head and body are sent together: a second packet would wait for the acknowledgement of the first
    server: TlsServer

    def run_wsgi(self) -> None:
        environ = self.make_environ()
        environ["wsgi.input"] = io.BytesIO(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        answer = Response.from_app(self.server.app, environ, buffered=True)
        body = answer.get_data()
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name.lower() != "content-length":
                self.send_header(name, value)
        if answer.status_code != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class TlsServer(ThreadedWSGIServer):
    """Handshakes happen in the thread of each connection: one silent client delays nobody else."""

    daemon_threads = True
    request_queue_size = 1024  # all machines of a large lab may ask at once

    def __init__(self, listen: str, port: int, app: WSGIApplication, context: ssl.SSLContext) -> None:
        super().__init__(listen, port, app, Conversation)
        self._context = context

    def get_request(self) -> tuple[ssl.SSLSocket, Any]:
        connection, peer = super().get_request()
        connection.settimeout(IDLE)
        return self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), peer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that disconnects, or only probes the port, is no error."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)
