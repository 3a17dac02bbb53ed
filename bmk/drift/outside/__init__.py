"""What is asked of others than the host: the Kubernetes API, the mirror, BMCs. A kind is found where it is defined."""

from __future__ import annotations

from bmk.drift.kind import Kind, discover

ALL: tuple[Kind, ...] = discover(__name__, __path__)
