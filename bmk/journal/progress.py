"""What the events of a run add up to, per host: phase, what it does, how fast the image goes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite

from bmk.journal.events import MACHINES, Event


@dataclass(frozen=True, slots=True)
class ImageProgress:
    """Bytes done and to do of one stage (`image`, then `read back`), since when. `total` 0: unknown."""

    done: int
    total: int
    started: float
    at: float
    stage: str = "image"

    @property
    def rate(self) -> float:
        """Bytes per second since the first report."""
        return self.done / (self.at - self.started) if self.at > self.started else 0.0

    @property
    def left(self) -> float | None:
        """Seconds still to go, None when that cannot be told."""
        if not self.total or not self.rate:
            return None
        return max(0.0, (self.total - self.done) / self.rate)


@dataclass(frozen=True, slots=True)
class HostState:
    """Where a host is. `since` in seconds since the epoch; `end` is "", "ready" or "failed"."""

    phase: str = ""
    since: float = 0.0
    text: str = ""
    end: str = ""
    image: ImageProgress | None = None


def step(state: HostState, event: Event) -> HostState:
    """The state after one more event of this host."""
    if event.kind == "phase.started":
        return HostState(phase=event.phase or "", since=event.at, text=event.text)
    if event.kind == "phase.failed":
        return replace(state, end="failed", text=event.text)
    if event.kind == "host.ready" and event.source not in MACHINES:
        return replace(state, end="ready", text="Ready")
    if event.kind == "image.progress":
        return replace(state, image=_image(state.image, event), text=event.text)
    if event.level == "debug" and event.kind not in ("phase.waiting", "task.ok"):
        return state
    return replace(state, text=event.text.split("\n")[0])


def line(state: HostState) -> str:
    """What a host does right now, in words; while the image is written: percent, MB/s and time left."""
    image = state.image
    if image is None or state.end:
        return state.text
    percent = f"{100 * image.done / image.total:.0f} %, " if image.total else ""
    left = f", {image.left:.0f} s left" if image.left is not None else ""
    return f"{image.stage} {image.done / 1e6:.0f} MB, {percent}{image.rate / 1e6:.1f} MB/s{left}"


def _image(before: ImageProgress | None, event: Event) -> ImageProgress:
    data: Mapping[str, object] = event.data
    done, total = (_count(data.get(key)) for key in ("bytes", "total"))
    stage = str(data.get("stage") or "image")
    started = before.started if before is not None and before.stage == stage else event.at
    return ImageProgress(done, total, started, event.at, stage)


def _count(said: object) -> int:
    """Bytes; 0 for what is no number: journals of earlier versions hold what machines sent."""
    return max(0, int(said)) if isinstance(said, int | float) and isfinite(said) else 0
