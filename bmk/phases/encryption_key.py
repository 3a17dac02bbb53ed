"""A new key of secrets at rest: second everywhere, first everywhere, all secrets written anew, the old one gone.

What comes next is seen anew after every step, from what is on the control planes and the name on record, so a run that
was killed anywhere is continued by the next one. See bmk/encryption/rotation.py for what holds at every moment.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from bmk.datacenter.resolve import Host
from bmk.encryption.keys import KeysSeen, PlaneKeys
from bmk.encryption.rotation import (
    STAGES,
    RotationStep,
    Stage,
    contradiction,
    next_name,
    next_step,
    unreadable,
    way,
)
from bmk.engine.phase import GroupContext, GroupPhase
from bmk.engine.run import Timing
from bmk.engine.services import Services
from bmk.errors import BmkError, PhaseFailed, PreflightRefused
from bmk.journal import Event, Journal
from bmk.journal.events import Level
from bmk.journal.host_status import age
from bmk.journal.records import BackupRecord, KeyRotationOrder, MembershipRecord
from bmk.journal.rotation_causes import BEGUN, DONE, FAILED, STEP, WAITS, command
from bmk.plan import Change
from bmk.plan.build import GroupView

OLDEST_BACKUP = 24 * 3600.0  # seconds; docs/backup.md takes one every six hours
_COMES_BACK = {"standard": 480.0, "emulated": 1500.0}  # seconds for an API server
_ROUNDS = 8  # walks over all secrets; the second finds none under another key unless somebody goes on writing with it
_WHY = {
    "added": "all control planes can read it before the first writes with it",
    "first": "all write with it, before what is under another is written anew",
    "rewritten": "nothing in etcd may be under a key that goes",
    "dropped": "nothing is under it any more",
}


class _KeyStage(GroupPhase):
    """A part of the way, up to `stage`."""

    stage: ClassVar[Stage]

    def plan(self, view: GroupView) -> list[Change]:
        seen = view.cluster.encryption
        steps = way(seen.planes, seen.target) if seen is not None and seen.planes else ()
        return [self.change(s.act, str(s), _WHY[s.stage]) for s in steps if s.stage == self.stage]

    async def run(self, ctx: GroupContext) -> Mapping[str, BmkError]:
        try:
            await _Rotation(ctx).until(self.stage)
        except BmkError as error:
            _tell(ctx, FAILED, error.what, "error", why=f"{error.where}: {error.why}".strip(": "), hint=error.hint)
            raise
        return {}

    def deadline(self, timing: Timing) -> float:
        return {"standard": 3600, "emulated": 4 * 3600}[timing]


class KeyAdded(_KeyStage):
    name, title, stage = "key_added", "Add the new encryption key", "added"


class KeyFirst(_KeyStage):
    name, title, stage = "key_first", "Write with the new encryption key", "first"
    needs = (KeyAdded.name,)


class SecretsRewritten(_KeyStage):
    name, title, stage = "secrets_rewritten", "Rewrite secrets with the new key", "rewritten"
    needs = (KeyFirst.name,)


class KeyDropped(_KeyStage):
    name, title, stage = "key_dropped", "Drop the old encryption key", "dropped"
    needs = (SecretsRewritten.name,)


def joined_planes(journal: Journal, cluster: str, hosts: Sequence[Host]) -> tuple[Host, ...]:
    """Those of these hosts that are control planes of the cluster, by the record of their join."""
    joined = MembershipRecord.load_all(journal)
    found = [h for h in hosts if h.role == "control_plane" and h.cluster == cluster]
    return tuple(h for h in found if h.name in joined and joined[h.name].cluster == cluster)


def survey(services: Services, cluster: str, planes: Sequence[Host]) -> tuple[tuple[PlaneKeys, ...], str]:
    """What control planes have, and who is away and why ("": nobody). Blocks.

    Of an API server that is away nobody knows what it has read, and of etcd's members one may be of a control plane
    that would be passed over.
    """
    found, away = list[PlaneKeys](), list[str]()
    try:
        live, etcd = set(services.cluster(cluster).live()), services.cluster(cluster).etcd()
    except BmkError as error:
        return (), error.what
    names = {h.name for h in planes}
    away += [f"{name}: a member of etcd, and no control plane on record" for name in sorted(set(etcd) - names)]
    for host in planes:
        try:
            found.append(services.keys_at_rest(host))
        except BmkError as error:
            away.append(f"{host.name}: {error.what}")
            continue
        if not found[-1].ready or host.name not in live:
            away.append(f"{host.name}: its API server does not say that it is ready")
        elif not etcd.get(host.name):
            away.append(f"{host.name}: its member of etcd is not healthy")
    return tuple(found), "; ".join(away)


def obstacle(journal: Journal, dc: str, cluster: str, order: KeyRotationOrder, now: float) -> BmkError | None:
    """Why a rotation of which nothing was done yet may not begin: no proven backup is new enough."""
    newest = (BackupRecord.load(journal, cluster) or BackupRecord()).newest
    if order.texts or order.accepted:
        return None
    if newest is not None and now - newest.at <= OLDEST_BACKUP:
        return None
    known = f"the newest is {age(newest.at, now)} old" if newest else "none is on record"
    return PreflightRefused(
        f"no proven backup of cluster {cluster} is younger than a day",
        where=cluster,
        why=f"{known}; a key that is lost on the way takes all secrets along",
        hint=f"bmk backup {dc} {cluster}; without one: {command(dc, cluster)} --accept REASON",
    )


@dataclass(slots=True)
class _Rotation:
    """One run on the way, of one cluster. `proven`: nothing in etcd is under another key."""

    ctx: GroupContext
    planes: tuple[Host, ...] = ()
    order: KeyRotationOrder = field(default_factory=KeyRotationOrder)
    proven: bool = False

    async def until(self, stage: Stage) -> None:
        """Take all steps up to this stage."""
        self.planes = joined_planes(self.ctx.run.journal, self.ctx.name, self.ctx.hosts)
        seen = await self._calm()
        self._begin(seen)
        if stage == "added":
            await self._count(seen)
        async with self._without_backups(stage):
            while True:
                step = next_step(seen, self.order.key, proven=self.proven)
                if STAGES.index(step.stage) > STAGES.index(stage):
                    return
                await self._take(step, seen)
                if step.act == "finish":
                    return
                seen = await self._calm()

    def _begin(self, seen: Sequence[PlaneKeys]) -> None:
        """The order of it; its key is chosen anew until something was put on a host."""
        run, name = self.ctx.run, self.ctx.name
        order = KeyRotationOrder.load(run.journal, name) or KeyRotationOrder(at=time.time())
        refusal = obstacle(run.journal, run.dc.name, name, order, time.time())
        if refusal is not None:
            raise refusal
        if not order.texts and order.key != next_name(seen):
            order = order.model_copy(update={"key": next_name(seen)})
            order.save(run.journal, name)
        self.order = order
        if wrong := contradiction(seen, order.key):
            raise PreflightRefused(
                "control planes do not have the same encryption keys",
                where=name,
                why=wrong,
                hint=f"bmk hardening {run.dc.name}; compare their /etc/kubernetes/bmk/encryption.yaml; a lost one "
                f"comes back by: bmk provision {run.dc.name}",
            )
        _tell(self.ctx, BEGUN, f"the rotation to {order.key} goes on", key=order.key)

    async def _calm(self) -> tuple[PlaneKeys, ...]:
        """What control planes have, once all of them serve: a run that was killed may have begun something just
        before. Raises PreflightRefused when one stays away.
        """
        run = self.ctx.run
        end = time.monotonic() + run.limits.grace * (4 if self.ctx.timing == "emulated" else 1)
        while True:
            seen, away = await self.ctx.call(survey, run.services, self.ctx.name, self.planes)
            if not away:
                return seen
            if time.monotonic() >= end:
                raise PreflightRefused(
                    "the encryption key is left alone while a control plane is away",
                    where=self.ctx.name,
                    why=away,
                    hint=f"bmk status {run.dc.name}; mend that first, the same command goes on",
                )
            await asyncio.sleep(run.limits.backoff)

    async def _take(self, step: RotationStep, seen: Sequence[PlaneKeys]) -> None:
        _tell(self.ctx, STEP, str(step), act=step.act, host=step.host)
        if step.act == "put":
            await self._put(step, next(p for p in seen if p.host == step.host))
        elif step.act == "restart":
            await self._restart(self.ctx.run.dc.hosts[step.host])
        elif step.act == "rewrite":
            await self._rewrite()
        else:
            await self._finish(seen)

    async def _put(self, step: RotationStep, plane: PlaneKeys) -> None:
        """What may be on a host is on record before it is."""
        run, fresh = self.ctx.run, self.order.key if step.stage == "added" else ""
        text = await self.ctx.call(run.services.key_text, self.planes, step.keys, fresh)
        if text.sha256 not in self.order.texts:
            self.order = self.order.model_copy(update={"texts": (*self.order.texts, text.sha256)})
            self.order.save(run.journal, self.ctx.name)
        await self.ctx.call(run.services.put_keys, run.dc.hosts[step.host], text, plane.sha256)

    async def _restart(self, host: Host) -> None:
        """One control plane of the run at a time."""
        run = self.ctx.run
        async with self.ctx.waiting(f"{host.name} waits for its turn: other members of its cluster are away"):
            await run.disruptions.begin(host)
        spared = False
        try:
            await self.ctx.call(run.services.restart_api_server, host)
            await self._back(host)
            await asyncio.sleep(run.disruptions.soak(host))
            spared = True
        except BmkError as error:
            spared = error.retryable  # it is tried again
            raise
        finally:
            (run.disruptions.returned if spared else run.disruptions.failed)(host)

    async def _back(self, host: Host) -> None:
        """Wait until its API server has begun with the file that is there, and serves."""
        told = ""
        try:
            async with asyncio.timeout(_COMES_BACK[self.ctx.timing]):
                while not await self._is_back(host):
                    text = f"{host.name}: kube-apiserver has not begun anew, or does not say that it is ready"
                    if text != told:
                        _tell(self.ctx, WAITS, text, "debug", host=host.name)
                        told = text
                    await asyncio.sleep(self.ctx.run.limits.backoff)
        except TimeoutError:
            raise PhaseFailed(
                "kube-apiserver did not come back with its encryption keys",
                where=host.name,
                why=f"not ready after {_COMES_BACK[self.ctx.timing]:.0f} s; all others serve, and read every secret",
                hint=f"bmk ssh {self.ctx.run.dc.name} {host.name} crictl ps -a --name kube-apiserver; the same command "
                "goes on",
            ) from None

    async def _is_back(self, host: Host) -> bool:
        seen, away = await self.ctx.call(survey, self.ctx.run.services, self.ctx.name, self.planes)
        return not away and all(p.loaded for p in seen if p.host == host.name)

    async def _count(self, seen: Sequence[PlaneKeys]) -> None:
        """Before anything is begun: an API server may have a key that its file has not any more."""
        under, _ = await self._walk("")
        if wrong := unreadable(seen, under):
            raise PreflightRefused(
                "secrets in etcd are under keys that not every control plane has",
                where=self.ctx.name,
                why=wrong,
                hint="put the lacking key back into /etc/kubernetes/bmk/encryption.yaml from a backup; "
                f"then: {command(self.ctx.run.dc.name, self.ctx.name)}",
            )

    async def _rewrite(self) -> None:
        """Walk until a whole walk has found nothing under another key, which proves it: nobody writes with another."""
        key, under = self.order.key, Counter[str]()
        for _ in range(_ROUNDS):
            under, revision = await self._walk(key)
            if not set(under) - {key}:
                # What is read of the past, as a list that is continued, is not under the old key either.
                await self.ctx.call(self.ctx.run.services.forget_history, self.planes[0], revision)
                self.proven = True
                _tell(self.ctx, STEP, f"all {under[key]} secrets in etcd are under {key}", act="proven", host="")
                return
        left = ", ".join(f"{n} under {name or 'no key'}" for name, n in under.items() if name != key)
        raise PhaseFailed(
            "secrets are written with another key again and again",
            where=self.ctx.name,
            why=f"after {_ROUNDS} walks: {left}; an API server runs that is none of this cluster's",
            hint=f"find who writes to its etcd; then: {command(self.ctx.run.dc.name, self.ctx.name)}",
        )

    async def _walk(self, key: str) -> tuple[Counter[str], int]:
        """All secrets, part by part: how many were under which key, and the revision of etcd at the end. Those under
        another key than `key` were written anew; "": none was.
        """
        under, start, rewritten = Counter[str](), "", 0
        while True:
            part = await self.ctx.call(self.ctx.run.services.sweep_secrets, self.planes[0], key, start)
            under.update(part.seen)
            rewritten += part.rewritten
            if part.failed:
                raise PhaseFailed(
                    "secrets cannot be written anew; all can be read, and both keys are everywhere",
                    where=self.ctx.name,
                    why="\n".join(f"{name}: {why}" for name, why in part.failed),
                    hint="an admission webhook may forbid it; delete or mend them, then: "
                    + command(self.ctx.run.dc.name, self.ctx.name),
                )
            if rewritten:
                _tell(self.ctx, STEP, f"{rewritten} secrets rewritten so far", "debug", act="rewrite", host="")
            if not part.after:
                return under, part.revision
            start = part.after

    @asynccontextmanager
    async def _without_backups(self, stage: Stage) -> AsyncIterator[None]:
        """No backup is taken while keys go: its snapshot could be older than the file that it keeps beside it."""
        hold = None
        if stage == "dropped":
            async with self.ctx.waiting(f"waits for the end of a backup of {self.ctx.name}"):
                while (hold := self.ctx.run.journal.hold(f"backup-{self.ctx.name}")) is None:
                    await asyncio.sleep(self.ctx.run.limits.backoff)
        try:
            yield
        finally:
            if hold is not None:
                hold.release()

    async def _finish(self, seen: Sequence[PlaneKeys]) -> None:
        """Drift compares with the new files from now on, and the order is carried out."""
        run, name = self.ctx.run, self.ctx.name
        for plane in seen:
            if plane.sha256 in self.order.texts:
                await self.ctx.call(run.services.accept_keys, run.dc.hosts[plane.host], plane.sha256)
        with run.journal.transaction():
            KeyRotationOrder.drop(run.journal, name)
            text = f"{self.order.key} is the only key; take a backup: bmk backup {run.dc.name} {name}"
            _tell(self.ctx, DONE, text, key=self.order.key)


def _tell(ctx: GroupContext, kind: str, text: str, level: Level = "info", **data: Any) -> None:
    """An event of the cluster, which `bmk why DC CLUSTER` shows."""
    ctx.run.emit(Event("bmk", kind, text, ctx.name, ctx.phase or None, level=level, data=data))


def keys_seen(
    services: Services, journal: Journal, planes: Sequence[Host], order: KeyRotationOrder, dc: str
) -> KeysSeen:
    """For a plan: where the control planes of a cluster are on the way of this order, and what is in it. Blocks."""
    cluster = planes[0].cluster or ""
    seen, away = survey(services, cluster, planes)
    target = order.key if order.texts else next_name(seen)
    refusal, wrong = obstacle(journal, dc, cluster, order, time.time()), contradiction(seen, target)
    refused = away or wrong or (refusal.what if refusal else "")
    hint = refusal.hint if refusal and not away and not wrong else f"bmk status {dc}"
    return KeysSeen(seen, target, refused=refused, hint=hint if refused else "")
