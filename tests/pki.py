"""Certificates of one control plane in memory: its files, what its programs have read, and when they began."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from bmk.certificates.certificate import Certificate
from bmk.certificates.kind import DAY, STATIC_PODS
from bmk.certificates.kinds import KINDS
from bmk.certificates.standing import FileSeen, HostCertificates, ObservedCertificate, judge

NUMBERS = itertools.count(1)
MINE = [kind for kind in KINDS if kind.renewal == "kubeadm"]
YEAR = 365 * DAY


def certificate(left: float, life: float = YEAR) -> Certificate:
    """One that nobody else has, which ends in `left` seconds."""
    now = time.time()
    return Certificate("CN=x", "CN=ca", now + left - life, now + left, f"{next(NUMBERS):064x}")


@dataclass
class Pki:
    """`down`: looks until a program is there again; `read`: what each program has read, by kind."""

    files: dict[str, Certificate] = field(default_factory=lambda: {k.name: certificate(YEAR) for k in MINE})
    changed: dict[str, float] = field(default_factory=lambda: dict.fromkeys((k.name for k in MINE), 1.0))
    read: dict[str, dict[str, Certificate]] = field(default_factory=dict)
    began: dict[str, float] = field(default_factory=lambda: {pod.name: 2.0 for pod in STATIC_PODS})
    down: dict[str, int] = field(default_factory=dict)
    clock: float = 3.0
    restarts: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for pod in STATIC_PODS:
            self._read(pod.name)

    def age(self, left: float, *names: str) -> None:
        """Certificates that end so soon, and are in use."""
        for name in names or self.files:
            self.files[name] = certificate(left)
        for pod in STATIC_PODS:
            self._read(pod.name)

    def renew(self, name: str) -> None:
        self.files[name], self.changed[name] = certificate(YEAR), self.clock
        self.renewed.append(name)

    def restart(self, program: str, looks: int = 2) -> None:
        self.down[program] = looks
        self.restarts.append(program)

    def up(self, program: str) -> bool:
        return not self.down.get(program)

    def look(self, where: str, faults: set[str]) -> HostCertificates:
        """Time passes by being looked at."""
        self.clock += 1
        for program, looks in list(self.down.items()):
            if looks == 1 and "pod-stays-away" not in faults:
                del self.down[program]
                self.began[program] = self.clock
                if "pod-reads-old" not in faults:
                    self._read(program)
            elif looks > 1:
                self.down[program] -= 1
        up = {pod.name for pod in STATIC_PODS if self.up(pod.name)}
        standings = [judge("lab-ha", where, kind, self._seen(kind.name), time.time()) for kind in MINE]
        began: Mapping[str, float] = {name: at for name, at in self.began.items() if name in up}
        return HostCertificates(tuple(s for s in standings if s is not None), began, frozenset(up))

    def _seen(self, name: str) -> ObservedCertificate:
        kind = next(kind for kind in MINE if kind.name == name)
        served = self.read.get(kind.program, {}).get(name) if kind.port and self.up(kind.program) else None
        silent = "nobody hears on this port" if kind.port and served is None else ""
        began = self.began.get(kind.program) if self.up(kind.program) else None
        return ObservedCertificate(FileSeen(self.files[name], self.changed[name]), served, silent, started=began)

    def _read(self, program: str) -> None:
        self.read[program] = {kind.name: self.files[kind.name] for kind in MINE if kind.program == program}
