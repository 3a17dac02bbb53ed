"""Which API servers are ready, asked without credentials: live_control_planes({"cp-1": "10.0.0.11"})"""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor


def live_control_planes(addresses: Mapping[str, str], port: int = 6443, seconds: float = 3) -> list[str]:
    """Names of the control planes (name -> address) whose API server says it is ready, in the given order."""
    with ThreadPoolExecutor(max(1, min(16, len(addresses)))) as pool:
        answers = pool.map(lambda address: ready(f"{address}:{port}", seconds), addresses.values())
    return [name for name, live in zip(addresses, answers, strict=True) if live]


def ready(endpoint: str, seconds: float = 3) -> bool:
    """Whether `host:port` is an API server that says it is ready. Nothing is sent and nothing believed but that."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    try:
        with urllib.request.build_opener(*handlers).open(f"https://{endpoint}/readyz", timeout=seconds) as answer:
            return bool(answer.read(2) == b"ok")
    except (OSError, urllib.error.URLError):
        return False
