"""How a certificate stands: in time, and whether who should use it does. Pure: what was seen -> standings."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bmk.certificates.certificate import Certificate
from bmk.certificates.kind import CertificateKind

# From good to bad. stale: renewed, and what uses it has not read it; broken: its key is another's.
State = Literal["ok", "due", "stale", "missing", "foreign", "broken", "expired", "unknown"]
STATES: tuple[State, ...] = ("ok", "due", "stale", "missing", "foreign", "broken", "expired", "unknown")
_DAY = 86400.0


@dataclass(frozen=True, slots=True)
class FileSeen:
    """A certificate's file. `changed` in seconds since the epoch of its host; `pair` False: the key is another's."""

    certificate: Certificate | None
    changed: float = 0.0
    pair: bool = True
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ObservedCertificate:
    """What is known of one certificate. `file` None: there is no file, or nobody looked (`blind` says why not).

    `served` is what its port shows; `silent` why it shows nothing. `started`: when the program that reads it began.
    `pinned`: fingerprint (hexadecimal) that a file of the data center expects to be served.
    """

    file: FileSeen | None = None
    served: Certificate | None = None
    silent: str = ""
    blind: str = ""
    started: float | None = None
    pinned: str = ""


@dataclass(frozen=True, slots=True)
class CertificateStanding:
    """One certificate at one place: a host, a cluster, a profile, or the deployer. `ends` 0: not known."""

    where: str
    kind: CertificateKind
    state: State
    text: str
    ends: float = 0.0
    file: Certificate | None = None
    served: Certificate | None = None
    next: str = ""

    @property
    def wrong(self) -> bool:
        return self.state not in ("ok", "unknown")


@dataclass(frozen=True, slots=True)
class HostCertificates:
    """Those of one host; when its programs began (seconds since the epoch), and which say that they are well."""

    standings: tuple[CertificateStanding, ...] = ()
    started: Mapping[str, float] = field(default_factory=dict)
    healthy: frozenset[str] = frozenset()


def judge(
    dc: str, where: str, kind: CertificateKind, seen: ObservedCertificate, now: float
) -> CertificateStanding | None:
    """None: there is none, and there need not be one. `dc` as it is written into commands."""
    file = seen.file.certificate if seen.file is not None else None
    known = [c for c in (file, seen.served) if c is not None]
    if not known and seen.file is None and not seen.blind and kind.optional and not seen.silent:
        return None
    ends = min((c.ends for c in known), default=0.0)
    state, text = _state(kind, seen, known, now)
    hint = "" if state == "ok" else kind.next.format(dc=dc, where=where)
    return CertificateStanding(where, kind, state, text, ends, file, seen.served, hint)


def _state(
    kind: CertificateKind, seen: ObservedCertificate, known: Sequence[Certificate], now: float
) -> tuple[State, str]:
    """The worst that holds."""
    first = min(known, key=lambda c: c.ends, default=None)
    if first is not None and first.ends <= now:
        return "expired", f"ended {_span(now - first.ends)} ago"
    for state, text in (_broken(kind, seen), _unused(kind, seen)):
        if state:
            return state, text
    if first is None:
        return _nothing(seen)
    left, life = first.ends - now, first.ends - _began(first, seen)
    if left <= min(kind.ahead, life * kind.part):
        return "due", f"ends in {_span(left)}"
    if seen.silent:
        return "unknown", f"ends in {_span(left)} by its file; not served: {seen.silent}"
    return "ok", f"ends in {_span(left)}"


def _began(first: Certificate, seen: ObservedCertificate) -> float:
    """kubeadm dates a certificate back by five minutes, which is much of a short life: its file tells better."""
    changed = seen.file.changed if seen.file is not None else 0.0
    return max(first.begins, changed) if changed < first.ends else first.begins


def _broken(kind: CertificateKind, seen: ObservedCertificate) -> tuple[State | None, str]:
    if seen.file is not None and seen.file.certificate is not None and not seen.file.pair:
        return "broken", f"the key in {kind.key} is not that of the certificate"
    if seen.file is not None and seen.file.problem:
        return "broken", f"{kind.path or 'its file'} cannot be read: {seen.file.problem}"
    if seen.pinned and seen.served is not None and seen.served.sha256 != seen.pinned:
        return "foreign", f"it shows sha256:{seen.served.sha256[:16]}..., and the file pins another"
    return None, ""


def _unused(kind: CertificateKind, seen: ObservedCertificate) -> tuple[State | None, str]:
    """What is served counts; of a client it is when the program began."""
    file = seen.file.certificate if seen.file is not None else None
    if file is None or seen.file is None:
        return None, ""
    if seen.served is not None:
        if seen.served.sha256 == file.sha256:
            return None, ""
        return "stale", f"{kind.program or 'who shows it'} shows another certificate than the one in its file"
    if kind.port or seen.started is None or seen.started >= seen.file.changed:
        return None, ""
    return "stale", f"renewed, and {kind.program} has run since before"


def _nothing(seen: ObservedCertificate) -> tuple[State, str]:
    if seen.blind or seen.silent:
        return "unknown", seen.blind or f"not served: {seen.silent}"
    return "missing", "there is no certificate"


def _span(seconds: float) -> str:
    if seconds >= 2 * _DAY:
        return f"{seconds / _DAY:.0f} d"
    return f"{seconds / 3600:.0f} h" if seconds >= 7200 else f"{max(0.0, seconds) / 60:.0f} min"


def soonest(standings: Iterable[CertificateStanding]) -> CertificateStanding | None:
    """The one that ends first, of those whose end is known."""
    return min((s for s in standings if s.ends), key=lambda s: (s.ends, s.where, s.kind.name), default=None)


def moment(seconds: float) -> str:
    """Seconds since the epoch as UTC, to the minute; "" for 0. The year 9999 stands for no end."""
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds)) if seconds else ""
