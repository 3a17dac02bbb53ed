"""Prometheus textfiles. Names of metrics are stable: the alert rules of roles/drift_timer use them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gauge:
    """A metric with its samples: values, each with its labels."""

    name: str
    text: str
    samples: Sequence[tuple[float, Mapping[str, str]]]


def metrics(dc: str, gauges: Sequence[Gauge]) -> str:
    """The file. Every sample has the label `datacenter`."""
    lines = []
    for gauge in gauges:
        lines += [f"# HELP {gauge.name} {gauge.text}", f"# TYPE {gauge.name} gauge"]
        for value, labels in gauge.samples:
            text = ",".join(f'{key}="{_escaped(label)}"' for key, label in {"datacenter": dc, **labels}.items())
            lines.append(f"{gauge.name}{{{text}}} {value}")
    return "\n".join([*lines, ""])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
