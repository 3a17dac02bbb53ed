"""The approver goes on, whatever one cluster answers or does not."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bmk.cluster.csr import Decision
from bmk.errors import Unreachable
from bmk.journal import Event
from bmk.phases.csr_approval import Approvals, Watcher

STOLEN = Decision("csr-1", "worker-2", "client", "its subject is CN=system:node:worker-1, and it asked for worker-2")
GOOD = Decision("csr-2", "worker-1", "serving")


@dataclass
class Clusters:
    """What a cluster answers, look by look; the last answer stays. An exception is raised."""

    answers: list[Any]
    looks: int = 0

    def approve(self) -> Sequence[Decision]:
        self.looks += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]


@dataclass
class Clock:
    """Time that passes when somebody waits for it; the end comes by itself."""

    end: float
    now: float = 0.0
    stop: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float | None = None) -> bool:
        self.now += seconds or 0.0
        if self.now >= self.end:
            self.stop.set()
        return self.stop.is_set()

    def is_set(self) -> bool:
        return self.stop.is_set()


def watched(seconds: float, every: float = 5.0, **clusters: Clusters) -> list[Event]:
    events: list[Event] = []
    clock = Clock(seconds)
    Watcher(clusters, events.append, every).watch(clock, lambda: clock.now)  # type: ignore[arg-type]
    return events


def test_a_refusal_is_told_once() -> None:
    """The same request is looked at every few seconds: it is one event, for the host whose ticket it was."""
    events: list[Event] = []
    approvals = Approvals("apps", Clusters([[STOLEN, GOOD], [STOLEN]]), events.append)  # type: ignore[arg-type]
    assert (approvals.once(), approvals.once()) == (1, 0)
    assert [(e.kind, e.host, e.level) for e in events] == [
        ("csr.approved", "worker-1", "info"),
        ("csr.refused", "worker-2", "error"),
    ]


def test_a_flood_of_requests_is_a_few_events() -> None:
    """A ticket may ask thousands of times: the journal gets twenty of them and a count."""
    events: list[Event] = []
    many = [replace(STOLEN, request=f"csr-{n}") for n in range(3000)]
    approvals = Approvals("apps", Clusters([many]), events.append)  # type: ignore[arg-type]
    assert (approvals.once(), approvals.once()) == (0, 0)
    assert len(events) == 21
    assert "2980 further requests" in events[-1].text


@pytest.mark.parametrize("trouble", [Unreachable("the Kubernetes API does not answer"), KeyError("metadata")])
def test_nothing_ends_the_approver(trouble: Exception) -> None:
    """A cluster that is away, or answers oddly, is told once and asked less often; the others go on."""
    away, there = Clusters([trouble]), Clusters([[]])
    events = watched(600, away=away, there=there)
    assert [e.kind for e in events] == ["approver.blind"]
    assert there.looks == 120
    assert 10 <= away.looks <= 20


def test_an_api_that_comes_back_is_told_and_asked_as_before() -> None:
    """After an outage the pauses are short again."""
    cluster = Clusters([Unreachable("away"), Unreachable("away"), [GOOD], []])
    events = watched(100, apps=cluster)
    assert [e.kind for e in events] == ["approver.blind", "csr.approved", "approver.sees"]
    assert cluster.looks > 15


def test_ready_without_a_certificate_is_planned_work(simulation: Any) -> None:
    """Killed between a worker's join and its approval: the next plan says so, and the next run approves it."""
    simulation.provision()
    simulation.machines["worker-1"].approved = False
    plan, _ = simulation.look()
    assert [(p.host, p.phases) for p in plan.pending] == [("worker-1", ("verified",))]
    assert "shows no certificate of the cluster" in plan.pending[0].changes[0].why
    simulation.provision()
    assert simulation.machines["worker-1"].approved
    assert simulation.look()[0].pending == ()
