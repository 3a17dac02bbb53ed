"""What `bmk certs` saw in every format: its document, lines for people, JUnit, Prometheus metrics. Pure.

docs/schema/certs.schema.json is made from here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bmk.certificates.certificate import Certificate
from bmk.certificates.standing import STATES, CertificateStanding, moment, soonest
from bmk.journal.records import KeyRotationOrder
from bmk.report.drift import utc
from bmk.report.junit import JunitCase, junit
from bmk.report.prometheus import Gauge, metrics

SCHEMA = 1


class CertificatesModel(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CertificatePart(CertificatesModel):
    """A certificate, as it is in its file or as somebody shows it."""

    subject: str
    issuer: str
    begins: str = Field(description="UTC")
    ends: str = Field(description="UTC")
    sha256: str


class CertificateStandingPart(CertificatesModel):
    """One certificate at one place."""

    where: str = Field(description="host, cluster, profile, or deployer")
    kind: str = Field(description="kubeadm's name where it has one")
    title: str
    state: Literal["ok", "due", "stale", "missing", "foreign", "broken", "expired", "unknown"] = Field(
        description="stale: renewed, and what uses it has not read it; broken: its key is another's; foreign: not the "
        "one that dc.yml pins"
    )
    text: str
    ends: str = Field(description="UTC; the earlier one when file and port differ; empty: not known")
    seconds_left: int | None
    signer: str = Field(description="the kind that signs it; empty: itself or somebody else's authority")
    program: str = Field(description="what reads it and is started again when it is renewed")
    path: str
    port: int | None
    renewal: Literal["kubeadm", "kubelet", "bmk", "person"]
    file: CertificatePart | None
    served: CertificatePart | None
    next: str


class CertificatesDocument(CertificatesModel):
    """The result of one `bmk certs`."""

    version: Literal[1] = Field(alias="schema")
    datacenter: str
    at: str
    seconds: float
    summary: dict[str, int] = Field(description="certificates by state")
    certificates: list[CertificateStandingPart]


def document(dc: str, at: float, seconds: float, standings: Sequence[CertificateStanding]) -> dict[str, Any]:
    """The document as plain data. `at` in seconds since the epoch."""
    return {
        "schema": SCHEMA,
        "datacenter": dc,
        "at": utc(at),
        "seconds": round(seconds, 3),
        "summary": summary(standings),
        "certificates": [_standing(s, at) for s in standings],
    }


def summary(standings: Sequence[CertificateStanding]) -> dict[str, int]:
    """Counts; every state is present, so that graphs have zeros."""
    counts = Counter(s.state for s in standings)
    return {state: counts.get(state, 0) for state in STATES}


def schema() -> dict[str, Any]:
    """JSON Schema of the document."""
    body = CertificatesDocument.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **body, "title": "bmk certs -o json"}


def _standing(s: CertificateStanding, at: float) -> dict[str, Any]:
    kind = s.kind
    return {
        "where": s.where,
        "kind": kind.name,
        "title": kind.title,
        "state": s.state,
        "text": s.text,
        "ends": utc(s.ends),
        "seconds_left": round(s.ends - at) if s.ends else None,
        "signer": kind.signer,
        "program": kind.program,
        "path": "" if "{" in kind.path else kind.path,
        "port": kind.port or None,
        "renewal": kind.renewal,
        "file": _certificate(s.file),
        "served": _certificate(s.served),
        "next": s.next,
    }


def _certificate(one: Certificate | None) -> dict[str, str] | None:
    if one is None:
        return None
    return {
        "subject": one.subject,
        "issuer": one.issuer,
        "begins": utc(one.begins),
        "ends": utc(one.ends),
        "sha256": one.sha256,
    }


def table(standings: Sequence[CertificateStanding], *, wide: bool) -> Iterator[str]:
    """Lines for people: what is not as it should be, with the next command; `wide` shows all."""
    shown = [s for s in standings if wide or s.state != "ok"]
    for where, group in groupby(sorted(shown, key=lambda s: s.where), key=lambda s: s.where):
        yield f"{where}:"
        for s in sorted(group, key=lambda s: (-STATES.index(s.state), s.ends)):
            until = f"until {moment(s.ends)}" if s.ends else "no end known"
            yield f"  {s.state:<8} {s.kind.name:<25} {until:<22} {s.text}"
            if s.next and s.state != "ok":
                yield f"           next: {s.next}"


def words(dc: str, standings: Sequence[CertificateStanding], seconds: float) -> str:
    """One line: how many stand how, and which ends first."""
    counts = summary(standings)
    found = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state]) or "no certificates"
    first = soonest(standings)
    ends = f"; first ends {first.kind.name} of {first.where}, {moment(first.ends)} UTC" if first is not None else ""
    return f"{dc}: {found}{ends}; {seconds:.1f} s"


def as_junit(dc: str, standings: Sequence[CertificateStanding]) -> str:
    """A suite for each place, a case for each certificate; what is unknown is an error."""
    places = groupby(sorted(standings, key=lambda s: s.where), key=lambda s: s.where)
    return junit(f"bmk certs {dc}", ((where, [_case(s) for s in group]) for where, group in places))


def _case(s: CertificateStanding) -> JunitCase:
    text = f"{s.state}: {s.text}"
    return JunitCase(
        s.kind.name,
        failure=text if s.wrong else "",
        error=text if s.state == "unknown" else "",
        text=f"next: {s.next}" if s.next else "",
    )


def as_metrics(
    dc: str, at: float, standings: Sequence[CertificateStanding], rotations: Mapping[str, KeyRotationOrder]
) -> str:
    """A textfile of a look that ended at `at` (seconds since the epoch). `rotations`: under way, by cluster."""
    ends = [(round(s.ends), {"where": s.where, "kind": s.kind.name}) for s in standings if s.ends]
    counts = summary(standings)
    return metrics(
        dc,
        [
            Gauge("bmk_certificate_ends_timestamp_seconds", "When a certificate ends: in its file or as served.", ends),
            Gauge("bmk_certificates", "Certificates by state.", [(counts[s], {"state": s}) for s in STATES]),
            Gauge(
                "bmk_encryption_rotation_begun_timestamp_seconds",
                "When a rotation that is not over was begun.",
                [(round(order.at), {"cluster": name}) for name, order in rotations.items()],
            ),
            Gauge("bmk_certificates_last_run_timestamp_seconds", "When the last look ended.", [(round(at), {})]),
        ],
    )
