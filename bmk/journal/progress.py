"""What the events of a run add up to, per host: phase, what it does, how fast the image goes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bmk.journal.events import Event


@dataclass(frozen=True, slots=True)
class HostState:
    """Where a host is. `since` in seconds since the epoch; `end` is "", "ready" or "failed"."""

    phase: str = ""
    since: float = 0.0
    text: str = ""
    end: str = ""


def step(state: HostState, event: Event) -> HostState:
    """The state after one more event of this host."""
    if event.kind == "phase.started":
        return HostState(phase=event.phase or "", since=event.at, text=event.text)
    if event.kind == "phase.failed":
        return replace(state, end="failed", text=event.text)
    if event.kind == "host.ready":
        return replace(state, end="ready", text="Ready")
    if event.kind == "image.progress":
        return replace(state, text=_image(event.data) or event.text)
    if event.level == "debug" and event.kind not in ("phase.waiting", "task.ok"):
        return state
    return replace(state, text=event.text.split("\n")[0])


def _image(data: Mapping[str, Any]) -> str:
    """`image: 88 of 507 MB, 17 %, 58.3 MB/s, 7 s left`, as far as it is known. Counts are in bytes."""
    done, total, left = data.get("bytes"), data.get("total"), data.get("seconds_left")
    if done is None or not total:
        return ""
    rest = "" if left is None else f", {left:.0f} s left"
    amount = f"{done / 1e6:.0f} of {total / 1e6:.0f} MB, {100 * done / total:.0f} %"
    return f"{data.get('stage', 'image')}: {amount}, {data.get('mb_per_s', 0)} MB/s{rest}"
