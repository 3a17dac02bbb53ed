"""What an API server tells whoever has no credentials. Its certificate is not looked at, and nothing is sent."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException

# health, which is open, and a few that must not be
PATHS = ("/readyz", "/version", "/api", "/metrics", "/openapi/v2", "/api/v1/namespaces/kube-public/configmaps")
_READ = 16  # bytes of an answer


def ask(endpoints: Sequence[str], seconds: float = 5) -> dict[str, int]:
    """Path -> status of the first of these servers (`host:port`) that answers; empty when none does."""
    for endpoint in endpoints:
        try:
            return {path: get(endpoint, path, seconds)[0] for path in PATHS}
        except OSError:
            continue
    return {}


def get(endpoint: str, path: str, seconds: float) -> tuple[int, bytes]:
    """Status, and the beginning of what a server says at a path. OSError: none is there, or what it says is no HTTP."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    try:
        with urllib.request.build_opener(*handlers).open(f"https://{endpoint}{path}", timeout=seconds) as answer:
            return int(answer.status), answer.read(_READ)
    except urllib.error.HTTPError as error:
        return error.code, b""
    except (HTTPException, ValueError) as error:
        raise OSError(f"{endpoint} answers something else: {error!r}"[:200]) from error
