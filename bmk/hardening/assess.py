"""From evidence to a report: every control on every node and cluster, waivers applied, exceptions counted. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Literal, Protocol

from bmk.hardening.control import Control, Verdict
from bmk.hardening.controls import BY_ID, CONTROLS
from bmk.hardening.evidence import ClusterEvidence, NodeEvidence
from bmk.hardening.exceptions import Exemption

State = Literal["pass", "fail", "waived", "na", "unknown"]
BY_FILES = ("api-anonymous",)  # controls of a cluster whose setting is in files of its control planes
STATES: tuple[State, ...] = ("fail", "unknown", "waived", "na", "pass")


class WaiverRow(Protocol):
    """The part of a waiver of dc.yml that is used here."""

    @property
    def control(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def until(self) -> date | None: ...
    @property
    def hosts(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class ControlResult:
    """One control on one node, or on one cluster. `where` is its name; `reason` that of the waiver."""

    control: str
    where: str
    state: State
    seen: str
    severity: str
    title: str
    cis: tuple[str, ...] = ()
    reason: str = ""
    until: str | None = None


@dataclass(frozen=True, slots=True)
class NoEvidence:
    """A host or a cluster that could not be asked, and why. Its controls are unknown."""

    name: str
    role: str
    why: str


@dataclass(frozen=True, slots=True)
class HardeningReport:
    """All results, for every output format."""

    dc: str
    at: str
    results: tuple[ControlResult, ...]
    exceptions: tuple[Exemption, ...] = ()
    silent: tuple[NoEvidence, ...] = ()
    seconds: float = field(default=0.0, compare=False)

    @property
    def counts(self) -> dict[str, int]:
        found = Counter(result.state for result in self.results)
        return {state: found[state] for state in STATES}

    def as_dict(self) -> dict[str, Any]:
        """For `-o json`."""
        return {
            "schema": 1,
            "dc": self.dc,
            "at": self.at,
            "counts": self.counts,
            "results": [asdict(r) for r in self.results],
            "exceptions": [asdict(e) for e in self.exceptions],
            "unreachable": [asdict(s) for s in self.silent],
        }


def summaries(report: HardeningReport) -> dict[str, dict[str, Any]]:
    """By host and cluster: time of the check, number of controls in each state, and the failing ones."""
    found: dict[str, dict[str, Any]] = {}
    for result in report.results:
        known = found.setdefault(result.where, {"at": report.at, "counts": dict.fromkeys(STATES, 0), "failing": []})
        known["counts"][result.state] += 1
        if result.state == "fail":
            known["failing"].append({"control": result.control, "severity": result.severity, "title": result.title})
    return found


def assess_node(node: NodeEvidence, waivers: Sequence[WaiverRow]) -> Iterator[ControlResult]:
    """Every control that applies to this node."""
    for control in _about(node.role):
        yield _result(control, node.name, _safely(control, node), waivers)


def assess_cluster(cluster: ClusterEvidence, waivers: Sequence[WaiverRow]) -> Iterator[ControlResult]:
    """Every control of an API."""
    for control in _about("cluster"):
        yield _result(control, cluster.name, _safely(control, cluster), waivers)


def assess_silent(silent: NoEvidence, waivers: Sequence[WaiverRow]) -> Iterator[ControlResult]:
    """All controls of a host or cluster without evidence are unknown, never passed."""
    for control in _about(silent.role):
        yield _result(control, silent.name, Verdict("unknown", silent.why), waivers)


def _about(role: str) -> list[Control]:
    """`role`: of the host, or `cluster` for what an API answers."""
    scopes = {"cluster": ("cluster",), "control_plane": ("node", "control_plane")}.get(role, ("node",))
    return [control for control in CONTROLS if control.requirement.scope in scopes]


def _safely(control: Control, seen: Any) -> Verdict:
    """The verdict; unknown when the check cannot read the evidence, because a node may answer anything."""
    try:
        return control.requirement.check(seen)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        return Verdict("unknown", f"cannot be read: {type(error).__name__}: {error}")


def _result(control: Control, where: str, verdict: Verdict, waivers: Sequence[WaiverRow]) -> ControlResult:
    plain = (control.severity, control.title, control.cis)
    waiver = next((w for w in waivers if w.control == control.id and (not w.hosts or where in w.hosts)), None)
    if verdict.state != "fail" or waiver is None:
        return ControlResult(control.id, where, verdict.state, verdict.seen, *plain)
    until = waiver.until.isoformat() if waiver.until else None
    return ControlResult(control.id, where, "waived", verdict.seen, *plain, waiver.reason, until)


def repairable(results: Sequence[ControlResult], members: Mapping[str, Sequence[str]]) -> Mapping[str, list[str]]:
    """Host -> ids of failing controls that a converge by the next provision repairs.

    `members`: the control planes of each cluster, for the controls of BY_FILES.
    """
    found: dict[str, list[str]] = {}
    for result in results:
        if BY_ID[result.control].requirement.scope != "cluster":
            found.setdefault(result.where, []).extend([result.control] if result.state == "fail" else [])
        elif result.control in BY_FILES and result.state == "fail":
            for host in members.get(result.where, ()):
                found.setdefault(host, []).append(result.control)
    return found
