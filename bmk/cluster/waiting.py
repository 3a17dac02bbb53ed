"""What a pod waits for, or what it died of. Pure."""

from __future__ import annotations

from typing import Any


def waits_for(status: Any) -> str:
    """In one line; empty for a pod that is as it should be. `status` has the API's own fields."""
    if status.reason:  # such as Evicted, with the pressure that the node is under
        return ": ".join(filter(None, (status.reason, status.message)))
    for container in status.containerStatuses or []:
        state = container.state
        if state and (found := state.waiting or state.terminated):
            return ": ".join(filter(None, (found.reason, found.message)))
    unmet = [c.message for c in (status.conditions or []) if c.status != "True" and c.message]
    return unmet[0] if unmet else ""
