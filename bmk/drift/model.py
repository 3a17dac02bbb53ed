"""The values of drift: facts, what is desired, differences, findings, the answer of a host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Attributes = Mapping[str, Any]
Facts = Mapping[str, Mapping[str, Attributes]]  # kind -> id -> attributes (JSON scalars)

Severity = Literal["benign", "degraded", "security", "breaking"]
SEVERITIES: tuple[Severity, ...] = ("benign", "degraded", "security", "breaking")
_LINE = 120  # characters of a value in a line of text
Repair = Literal["converge", "api", "bmc", ""]  # what `bmk provision` does about it; "": a person has to


@dataclass(frozen=True, slots=True)
class Desired:
    """What a host (or a cluster) should look like.

    `owned` are patterns over `kind:id`: whatever matches and is neither in `facts` nor `allowed` is a difference.
    `owners` says who declared an item, `texts` holds what files should contain, where that is known.
    """

    facts: Facts = field(default_factory=dict)
    owned: tuple[str, ...] = ()
    allowed: frozenset[str] = frozenset()
    owners: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """One attribute of one item that is not as desired. `field` "": the item itself is missing or unexpected."""

    kind: str
    id: str
    field: str
    want: Any
    have: Any

    @property
    def item(self) -> str:
        return f"{self.kind}:{self.id}"

    @property
    def key(self) -> str:
        """Names the difference, whatever its values are."""
        return f"{self.item}#{self.field}"

    @property
    def text(self) -> str:
        if self.field:
            return f"{self.id}: {self.field} is {_shown(self.have)}, should be {_shown(self.want)}"
        return f"{self.id}: missing" if self.have is None else f"{self.id}: not expected here"


@dataclass(frozen=True, slots=True)
class Finding:
    """A classified difference. `first` and `last`: when it was seen, in seconds since the epoch."""

    where: str  # host, or cluster
    difference: Difference
    severity: Severity
    owner: str
    repair: Repair
    next: str
    expected: str = ""  # why it is an intended exception
    note: str = ""
    diff: str = ""
    first: float = 0.0
    last: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        d = self.difference
        return {
            "where": self.where,
            "item": d.item,
            "kind": d.kind,
            "id": d.id,
            "field": d.field,
            "want": d.want,
            "have": d.have,
            "text": d.text,
            "severity": self.severity,
            "owner": self.owner,
            "repair": self.repair,
            "next": self.next,
            "expected": self.expected,
            "note": self.note,
            "diff": self.diff,
            "first": self.first,
            "last": self.last,
        }

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Finding:
        known = ("severity", "owner", "repair", "next", "expected", "note", "diff", "first", "last")
        difference = Difference(*(body[key] for key in ("kind", "id", "field", "want", "have")))
        return cls(body["where"], difference, **{key: body[key] for key in known})


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why facts are missing. `cause` is stable, `text` for people, `next` a command."""

    cause: str
    text: str
    next: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The facts of one host. With troubles it is `unknown`, whatever else was found."""

    host: str
    facts: Facts = field(default_factory=dict)
    troubles: tuple[Trouble, ...] = ()
    seconds: float = 0.0

    def troubled(self, *more: Trouble) -> Answer:
        return replace(self, troubles=(*self.troubles, *more))


@dataclass(frozen=True, slots=True)
class DriftStatus:
    """One host or cluster after a run: its findings, and why facts are missing.

    `alone`: why nobody looked at it, because a person wants it to be left alone; "" for all others.
    """

    name: str
    findings: tuple[Finding, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    seconds: float = 0.0
    alone: str = ""

    @property
    def drift(self) -> tuple[Finding, ...]:
        """Findings that are not expected."""
        return tuple(f for f in self.findings if not f.expected)

    @property
    def state(self) -> str:
        if self.troubles or self.alone:
            return "unknown" if self.troubles else "alone"
        return max((f.severity for f in self.drift), key=SEVERITIES.index, default="clean")


def _shown(value: Any) -> str:
    """A value in a line of text; a longer one (expressions of a policy) is whole in JSON."""
    text = "nothing" if value in (None, "") else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= _LINE else f"{text[:_LINE]}..."
