"""Which API servers are ready, asked without credentials: live_control_planes({"cp-1": "10.0.0.11"})"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from bmk.cluster.anonymous import get


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
