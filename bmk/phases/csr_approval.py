"""Approving certificates of nodes: while hosts join, and by itself for as long as the deployer runs (`bmk approve`)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from bmk.cluster.csr import Decision
from bmk.engine.phase import Context
from bmk.engine.services import ClusterServices
from bmk.errors import BmkError
from bmk.journal import Event

_LONGEST_PAUSE = 60.0  # seconds between two looks at an API that is away
_REMEMBERED = 10_000  # refusals that are not told twice
_SAID = 20  # refusals of one look that are told one by one

Emit = Callable[[Event], object]


class Approvals:
    """Looks at one cluster's requests. What is refused is told once, however often it is seen."""

    def __init__(self, name: str, cluster: ClusterServices, emit: Emit) -> None:
        self._name, self._cluster, self._emit = name, cluster, emit
        self._told: set[tuple[str, str]] = set()

    def once(self) -> int:
        """Approve what the inventory confirms; returns how many. Raises BmkError when the API does not answer."""
        answers = self._cluster.approve()
        approved = [answer for answer in answers if not answer.problem]
        for answer in approved:
            text = f"approved the {answer.kind} certificate of {answer.host}"
            self._emit(Event("cluster", "csr.approved", text, answer.host, data={"request": answer.request}))
        self._refuse([a for a in answers if a.problem and (a.request, a.problem) not in self._told])
        return len(approved)

    def _refuse(self, news: Sequence[Decision]) -> None:
        """Whoever has a ticket may ask thousands of times: that is one line more, not thousands."""
        if len(self._told) + len(news) > _REMEMBERED:
            self._told.clear()
        self._told |= {(answer.request, answer.problem) for answer in news[:_REMEMBERED]}
        for answer in news[:_SAID]:
            text = f"did not approve {answer.request} in cluster {self._name}: {answer.problem}"
            data = {"request": answer.request}
            self._emit(Event("cluster", "csr.refused", text, answer.host or None, level="error", data=data))
        if len(news) > _SAID:
            text = f"did not approve {len(news) - _SAID} further requests in cluster {self._name}"
            self._emit(Event("cluster", "csr.refused", text, level="error"))


class Watcher:
    """The approvals of all clusters of a data center. An API that is away is asked less and less often."""

    def __init__(self, clusters: Mapping[str, ClusterServices], emit: Emit, every: float) -> None:
        self._approvals = {name: Approvals(name, cluster, emit) for name, cluster in clusters.items()}
        self._emit, self._every = emit, every
        self._pause = dict.fromkeys(clusters, every)
        self._due = dict.fromkeys(clusters, 0.0)

    def watch(self, stop: threading.Event, clock: Callable[[], float]) -> None:
        """Until `stop` is set. Whatever goes wrong with one cluster is told, and the others go on."""
        while not stop.is_set():
            for name in self._approvals:
                if self._due[name] <= clock():
                    self.look(name)
                    self._due[name] = clock() + self._pause[name]
            stop.wait(max(0.0, min(self._due.values()) - clock()) if self._due else self._every)

    def look(self, name: str) -> BmkError | None:
        """One look at one cluster; returns what kept it from that."""
        try:
            self._approvals[name].once()
        except Exception as error:
            trouble = error if isinstance(error, BmkError) else BmkError(f"{type(error).__name__}: {error}", where=name)
            if self._pause[name] == self._every:
                text = f"cluster {name}: no certificate can be approved: {trouble.what}"
                self._emit(Event("cluster", "approver.blind", text, level="warning", data={"why": trouble.why}))
            self._pause[name] = min(_LONGEST_PAUSE, self._pause[name] * 2)
            return trouble
        if self._pause[name] != self._every:
            self._emit(Event("cluster", "approver.sees", f"cluster {name}: its API answers again"))
        self._pause[name] = self._every
        return None


@asynccontextmanager
async def approving_certificates(ctx: Context) -> AsyncIterator[None]:
    """Approve beside a join: kubeadm waits on the host for the certificate that its ticket asks for."""
    name = ctx.host.cluster or ""
    approvals = Approvals(name, ctx.run.services.cluster(name), ctx.run.emit)
    task = asyncio.create_task(_approve(ctx, approvals))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _approve(ctx: Context, approvals: Approvals) -> None:
    """An API server restarts while control planes join: what does not answer now is asked again."""
    pause = min(1.0, ctx.run.limits.backoff)
    while True:
        try:
            await ctx.call(approvals.once)
        except BmkError as error:
            ctx.emit("api.silent", error.what, "debug")
        await asyncio.sleep(pause)
