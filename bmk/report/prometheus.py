"""Metrics as a Prometheus textfile. Names are stable: the alert rules of roles/drift_timer use them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from bmk.drift.model import SEVERITIES, DriftStatus


def drift_metrics(dc: str, at: float, seconds: float, standings: Sequence[DriftStatus]) -> str:
    """One drift run. `at` in seconds since the epoch is when it ended."""
    counts = Counter(f.severity for s in standings for f in s.drift)
    causes = Counter(s.troubles[0].cause for s in standings if s.troubles)
    states = Counter(s.state for s in standings)
    lines = [
        *_gauge("bmk_drift_differences", "Differences that are not expected, by class."),
        *(_value("bmk_drift_differences", dc, counts.get(s, 0), severity=s) for s in SEVERITIES),
        *_gauge("bmk_drift_hosts", "Hosts and clusters by state."),
        *(_value("bmk_drift_hosts", dc, states.get(s, 0), state=s) for s in ("clean", *SEVERITIES, "unknown")),
        *_gauge("bmk_drift_unknown", "Hosts and clusters that could not be asked, by cause."),
        *(_value("bmk_drift_unknown", dc, n, cause=cause) for cause, n in sorted(causes.items())),
        *_gauge("bmk_drift_host_differences", "Differences of one host that are not expected, by class."),
        *_hosts(dc, standings),
        *_gauge("bmk_drift_run_seconds", "How long the run took."),
        _value("bmk_drift_run_seconds", dc, round(seconds, 3)),
        *_gauge("bmk_drift_last_run_timestamp_seconds", "When the last run ended."),
        _value("bmk_drift_last_run_timestamp_seconds", dc, round(at)),
    ]
    return "\n".join([*lines, ""])


def _hosts(dc: str, standings: Sequence[DriftStatus]) -> Iterator[str]:
    for standing in standings:
        counts = Counter(f.severity for f in standing.drift)
        for severity, number in sorted(counts.items()):
            yield _value("bmk_drift_host_differences", dc, number, host=standing.name, severity=severity)


def _gauge(name: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} gauge"


def _value(name: str, dc: str, value: float, **labels: str) -> str:
    text = ",".join(f'{key}="{_escaped(v)}"' for key, v in {"datacenter": dc, **labels}.items())
    return f"{name}{{{text}}} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
