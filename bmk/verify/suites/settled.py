"""Answers that may lapse for a moment without a fault: what holds is that they come back, and until when.

An API server says that it is not ready whenever etcd took longer than two seconds for one answer; a node is not Ready
when its kubelet missed a few turns. `bmk provision` waits for both with a deadline, and so do the suites.
"""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 120.0  # seconds


def settled(ask: Callable[[], str], good: str, patience: float = PATIENCE, pause: float = 1.0) -> str:
    """`good` when `ask` says it in time, else what it said last."""
    end = time.monotonic() + patience
    while (said := ask()) != good and time.monotonic() < end:
        time.sleep(pause)
    return said
