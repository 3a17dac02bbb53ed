"""Requests to API servers without credentials: what they answer anonymously, and which of them are ready.

Certificates are not verified, and nothing is sent.
"""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

# health, which is open to everybody, and some that must not be
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
    """Status and the first bytes of a server's answer. OSError: no server there, or its answer is not HTTP."""
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


def live_control_planes(addresses: Mapping[str, str], port: int = 6443, seconds: float = 3) -> list[str]:
    """Names of the control planes (name -> address) whose API server says it is ready, in the given order."""
    with ThreadPoolExecutor(max(1, min(16, len(addresses)))) as pool:
        answers = pool.map(lambda address: ready(f"{address}:{port}", seconds), addresses.values())
    return [name for name, live in zip(addresses, answers, strict=True) if live]


def ready(endpoint: str, seconds: float = 3) -> bool:
    """Whether `host:port` is an API server that says it is ready. Nothing is believed but that."""
    try:
        return get(endpoint, "/readyz", seconds) == (200, b"ok")
    except OSError:
        return False
