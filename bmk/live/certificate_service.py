"""Certificates of a data center as they are now: files by one login to each host, what is served by dialling.

One odd answer leaves its own certificate unknown, and nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bmk.certificates.answer import (
    HostAnswer,
    RenewalAnswer,
    look_program,
    read_answer,
    renew_program,
    script,
    understood,
)
from bmk.certificates.certificate import Certificate, all_of, from_pem
from bmk.certificates.dial import Silent, served
from bmk.certificates.kind import CertificateKind
from bmk.certificates.kinds import KINDS
from bmk.certificates.renewal import RenewStep
from bmk.certificates.standing import CertificateStanding, FileSeen, HostCertificates, ObservedCertificate, judge
from bmk.cluster.kubeconfig import client_certificate
from bmk.datacenter.resolve import DataCenter, Host
from bmk.document import inside
from bmk.drift.collector import CollectLimits, CollectRequest, Keys, collect
from bmk.errors import ODD, BmkError, PhaseFailed
from bmk.hardening.accounts import CONF
from bmk.journal import Journal
from bmk.journal.quoted import plain
from bmk.journal.records import CertificatesRecord
from bmk.permit import demand
from bmk.ssh import CommandResult, Target
from bmk.ssh import run as ssh_run

_PYTHON = ["python3", "-I", "-B", "-"]
_AT_ONCE = 64
_HANDSHAKE = {"standard": 5.0, "emulated": 20.0}  # seconds; an emulated machine signs slowly
NOTHING = HostAnswer(files={}, started={}, healthy=[])
Dialled = tuple[Certificate | None, str]  # what was shown; why nothing
_LOOK, _RENEW = 60.0, 900.0  # seconds for the answer of a host


@dataclass(frozen=True, slots=True)
class Hosts:
    """How hosts are asked: by `target` one for a phase, by `keys` many at once; `timing`: how patient to be."""

    dc: DataCenter
    target: Callable[[Host], Target]
    keys: Callable[[], Keys]
    timing: Mapping[str, str]
    installed: frozenset[str]

    def run(self, host: Host, program: str, seconds: float) -> CommandResult:
        return ssh_run(self.target(host), _PYTHON, send=program.encode(), timeout=seconds)

    def seconds(self, host: Host) -> float:
        return _HANDSHAKE[self.timing.get(host.name, "standard")]


def host_certificates(on: Hosts, host: Host) -> HostCertificates:
    """Those on one host, as a phase asks. What it does not say is unknown, and what its ports show is judged."""
    return _judged(on, host, *_ask(on, host))


def _judged(on: Hosts, host: Host, answer: HostAnswer, blind: str) -> HostCertificates:
    kinds = [kind for kind in KINDS if kind.place == "host" and host.role in kind.roles]
    with ThreadPoolExecutor(8, thread_name_prefix="dial") as pool:
        dialled = list(pool.map(lambda kind: _dial(str(host.address), kind.port, on.seconds(host)), kinds))
    now, found = time.time(), []
    for kind, (shown, silent) in zip(kinds, dialled, strict=True):
        seen = ObservedCertificate(
            file=answer.files[kind.path].seen() if kind.path in answer.files else None,
            served=shown,
            silent=silent,
            blind=blind,
            started=answer.started.get(kind.program),
        )
        standing = judge(on.dc.name, host.name, kind, seen, now)
        found += [standing] if standing is not None else []
    return HostCertificates(tuple(found), answer.started, frozenset(answer.healthy))


def renew_on(on: Hosts, host: Host, step: RenewStep) -> None:
    """Renew the files of a step, and have its static pod started again. Does not wait for it. Raises PhaseFailed."""
    demand()
    said = on.run(host, renew_program(step.renew, step.program, CONF), _RENEW)
    answer = read_answer(RenewalAnswer, said.out)
    if not answer.done:
        raise PhaseFailed(
            f"{plain(answer.failed, 100)} was not renewed",
            where=host.name,
            why=plain(answer.why, 500),
            hint=f"bmk ssh {on.dc.name} {host.name} kubeadm certs check-expiration; the same command goes on",
        )


def read_certificates(on: Hosts, hosts: Sequence[Host]) -> list[CertificateStanding]:
    """All that these hosts, their clusters, BMCs and profiles have, and the deployer's own. Never raises for one."""
    names = list(dict.fromkeys(host.cluster for host in hosts if host.cluster is not None))
    members = [host for host in hosts if host.cluster is not None and host.name in on.installed]
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="certificates") as pool:
        bmcs = [pool.submit(_bmc, on, host) for host in hosts]
        answers = asyncio.run(_collected(on, members))
        asked = [pool.submit(_judged, on, host, *answers[host.name]) for host in members]
        found = [standing for one in asked for standing in one.result().standings]
        found += [standing for one in bmcs for standing in one.result()]
    return [*found, *_profiles(on.dc, hosts), *own_certificates(on.dc, names)]


def own_certificates(dc: DataCenter, clusters: Sequence[str]) -> list[CertificateStanding]:
    """Of the deployer: kubeconfigs and what it made for clusters, and its registry."""
    found = []
    for kind in KINDS:
        if kind.place == "cluster":
            places = [(name, kind.path.format(state=dc.state, cluster=name)) for name in clusters]
            found += [_of_file(dc, name, kind, Path(path)) for name, path in places]
    for kind in (kind for kind in KINDS if kind.place == "deployer"):
        path = Path(kind.path.format(state=dc.state, cluster=""))
        dialled = _dial(str(dc.spec.deployer.address), dc.spec.deployer.registry_port) if path.exists() else (None, "")
        found.append(_of_file(dc, "deployer", kind, path, dialled))
    return [standing for standing in found if standing is not None]


def remember(dc: DataCenter, journal: Journal, standings: Sequence[CertificateStanding]) -> None:
    """For `bmk status` and the page: what ends first, and how many stand how."""
    rows = sorted((s for s in standings if s.ends), key=lambda s: s.ends)[:5]
    counts: dict[str, int] = {}
    for s in standings:
        counts[s.state] = counts.get(s.state, 0) + 1
    soonest = tuple((s.where, s.kind.name, s.ends) for s in rows)
    CertificatesRecord(at=time.time(), soonest=soonest, counts=counts).save(journal, dc.name)


async def _collected(on: Hosts, hosts: Sequence[Host]) -> dict[str, tuple[HostAnswer, str]]:
    """What each host says of its files, and why nothing; many at once, by processes that speak ssh."""
    questions = {
        host.name: CollectRequest(str(host.address), script(look_program(host.role, str(host.address))))
        for host in hosts
    }
    found: dict[str, tuple[HostAnswer, str]] = {}
    async for answer in collect(questions, on.keys(), CollectLimits(seconds=_LOOK), "evidence"):
        try:
            why = "; ".join(trouble.text for trouble in answer.troubles)
            found[answer.host] = (NOTHING, why) if why else (understood(HostAnswer, dict(answer.facts)), "")
        except BmkError as error:
            found[answer.host] = NOTHING, f"{error.what}: {error.why}"
    return found


def _ask(on: Hosts, host: Host) -> tuple[HostAnswer, str]:
    """The answer, and why there is none."""
    try:
        said = on.run(host, look_program(host.role, str(host.address)), _LOOK)
        return read_answer(HostAnswer, said.out), ""
    except BmkError as error:
        return NOTHING, ": ".join(filter(None, (error.what, error.why)))[:200]
    except ODD as error:
        return NOTHING, f"its answer cannot be understood: {type(error).__name__}"


def _dial(address: str, port: int, seconds: float = 5.0) -> Dialled:
    if not port:
        return None, ""
    try:
        return served(address, port, seconds), ""
    except Silent as why:
        return None, str(why)


def _bmc(on: Hosts, host: Host) -> list[CertificateStanding]:
    """What its BMC shows, where that speaks TLS."""
    if host.profile.bmc.kind != "redfish":
        return []
    found = []
    for kind in (kind for kind in KINDS if kind.place == "bmc"):
        shown, silent = _dial(str(host.bmc_address), host.profile.bmc.port or kind.port, _HANDSHAKE["emulated"])
        pinned = (host.bmc_fingerprint or "").removeprefix("sha256:")
        seen = ObservedCertificate(served=shown, silent=silent, pinned=pinned)
        found.append(judge(on.dc.name, host.name, kind, seen, time.time()))
    return [standing for standing in found if standing is not None]


def _profiles(dc: DataCenter, hosts: Sequence[Host]) -> list[CertificateStanding]:
    """The authorities that dc.yml names."""
    used = {name: dc.spec.profiles[name].bmc.authorities for name in sorted({host.profile_name for host in hosts})}
    found = []
    for kind in (kind for kind in KINDS if kind.place == "profile"):
        places = {name: inside(dc.source.parent, file) for name, file in used.items() if file is not None}
        found += [_of_file(dc, name, kind, path) for name, path in places.items() if path.is_file()]
    return [standing for standing in found if standing is not None]


def _of_file(
    dc: DataCenter, where: str, kind: CertificateKind, path: Path, dialled: Dialled = (None, "")
) -> CertificateStanding | None:
    """A file of this machine: a kubeconfig of ours, or PEM."""
    file: FileSeen | None = None
    try:
        file = FileSeen(_first(kind, path.read_text(errors="replace")), path.stat().st_mtime)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        file = FileSeen(None, problem=str(error)[:200])
    return judge(
        dc.name, where, kind, ObservedCertificate(file=file, served=dialled[0], silent=dialled[1]), time.time()
    )


def _first(kind: CertificateKind, text: str) -> Certificate:
    """The holder's; of authorities the one that ends first. Raises ValueError."""
    if kind.place == "profile":
        return min(all_of(text), key=lambda one: one.ends)
    return from_pem(client_certificate(text) if "client-certificate-data" in text else text)
