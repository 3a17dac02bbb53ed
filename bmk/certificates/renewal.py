"""What is to be renewed on a control plane, one static pod after the other. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bmk.certificates.kind import STATIC_PODS
from bmk.certificates.standing import CertificateStanding, HostCertificates

_RENEW = ("due", "expired", "broken", "missing")
# Seconds that a run may take until it comes to its last control plane: of five, each with four static pods that take
# three minutes. When etcd's certificates end in the middle of a run, it cannot say any more that etcd is well, and no
# further control plane gets its turn: what ends that soon is urgent.
A_RUN = 3600.0


@dataclass(frozen=True, slots=True)
class RenewStep:
    """kubeadm's names of what is renewed, and the static pod that reads it and is started again; "": nobody does."""

    program: str
    renew: tuple[str, ...] = ()
    why: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"renew {', '.join(self.renew)}"] if self.renew else []
        parts += [f"start {self.program} again"] if self.program else []
        return ", ".join(parts)


def steps(standings: Sequence[CertificateStanding], ordered: Collection[str] | None = None) -> tuple[RenewStep, ...]:
    """In order: kubeconfigs of administrators first, with which kubeadm reads what the cluster says, then pod by pod.

    `ordered`: names that are renewed whatever their standing is; None: only those that have to be.
    """
    mine = [s for s in standings if s.kind.renewal == "kubeadm" and s.state != "unknown"]
    found = []
    for program in ("", *(pod.name for pod in STATIC_PODS)):
        read = [s for s in mine if s.kind.program == program]
        renew = [s for s in read if (s.state in _RENEW and not _unread(s)) or s.kind.name in (ordered or ())]
        moved = renew or [s for s in read if _unread(s) and program]
        if moved:
            why = tuple(f"{s.kind.name}: {s.text}" for s in moved)
            found.append(RenewStep(program, tuple(s.kind.name for s in renew), why))
    return tuple(found)


def _unread(s: CertificateStanding) -> bool:
    """The file is good, and what is shown is an older one, which may have ended."""
    return s.state == "stale" or (s.state == "expired" and s.file is not None and s.file.ends > s.ends)


def urgent(standings: Sequence[CertificateStanding], now: float, ahead: float = A_RUN) -> tuple[str, ...]:
    """kubeadm's names of what has ended in its file, or is due and ends within `ahead` seconds; administrators first.

    What is made for less than that and is not due yet is not urgent: another would end as soon.
    """
    mine = [s for s in standings if s.kind.renewal == "kubeadm" and s.file is not None]
    due = [s.kind for s in mine if s.file and s.file.ends <= now + (0.0 if s.state in ("ok", "unknown") else ahead)]
    return tuple(kind.name for kind in sorted(due, key=lambda kind: bool(kind.program)))


def arrived(now: HostCertificates, before: HostCertificates, step: RenewStep) -> bool:
    """Whether a step took effect: what it renewed is another and used, and its program began anew and is well."""
    old = {s.kind.name: s.file for s in before.standings}
    for s in now.standings:
        if s.kind.name in step.renew and (s.file is None or s.file == old.get(s.kind.name) or s.state in _UNUSED):
            return False
        if step.program and s.kind.program == step.program and s.state in _UNUSED:
            return False
    if not step.program:
        return True
    began = now.started.get(step.program)
    return began is not None and began > before.started.get(step.program, 0.0) and step.program in now.healthy


_UNUSED = ("stale", "broken", "expired", "unknown")
