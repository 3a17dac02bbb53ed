"""Why a rotation of the key of secrets at rest is not over, and what comes next, for `bmk why DC CLUSTER`. Pure.

Each has a case in tests/unit/journal/test_rotation_causes.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from bmk.journal.cause_rule import Cause
from bmk.journal.events import Event

BEGUN, STEP, WAITS = "encryption.begun", "encryption.step", "encryption.waiting"
FAILED, DONE = "encryption.failed", "encryption.done"
KINDS = (BEGUN, STEP, WAITS, FAILED, DONE)


def command(dc: str, cluster: str) -> str:
    """What begins a rotation, and goes on with it."""
    return f"bmk certs rotate-encryption-key {dc} {cluster}"


def rotation_cause(events: Sequence[Event], dc: str, cluster: str) -> Cause | None:
    """From the events of a cluster; None when the newest rotation is over, or there never was one."""
    event = next((e for e in reversed(events) if e.kind in KINDS), None)
    if event is None or event.kind == DONE:
        return None
    again = command(dc, cluster)
    if event.kind == FAILED:
        why, hint = (str(event.data.get(key) or "") for key in ("why", "hint"))
        return Cause(event.text, why, hint or again)
    if event.kind == WAITS:
        host = str(event.data.get("host") or "")
        look = f"bmk ssh {dc} {host} crictl ps -a --name kube-apiserver; then: " if host else ""
        return Cause("a rotation of the encryption key waited, and did not go on", event.text, look + again)
    return Cause("a rotation of the encryption key was interrupted; all secrets can be read", event.text, again)
