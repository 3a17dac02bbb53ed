"""The routes that the install ramdisk asks: claim a grant once, tell how it goes, and end it.

Until the claim, whoever has the host's address may ask; from then on only the claimer, by its address and its token.
What a machine is refused with is the same whatever the reason: only the journal tells what was expected.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import ValidationError

from bmk.boot import grants
from bmk.boot.attestation import NotYet, Sent, Unproven, check, proven
from bmk.boot.decide import BootFacts, Install, decide
from bmk.boot.grants import Grant, Taken
from bmk.boot.nonces import Nonces
from bmk.boot.reply import Reply, json_reply
from bmk.boot.request_context import RequestContext
from bmk.boot.request_models import Claim, Client, Done, FailureReport, Told
from bmk.boot.spec import InstallServer, install_spec
from bmk.boot.tpm import measured
from bmk.datacenter.resolve import Host
from bmk.disks import plain_serial
from bmk.errors import PreflightRefused
from bmk.journal import Event, Journal
from bmk.journal.records import InstallationRecord

_REFUSED = json_reply(403, {"reason": "refused: bmk why DC HOST on the deployer says why"})
_NOT_YET = json_reply(503, {"reason": "ask again"})
_UNREADABLE = json_reply(400, {"reason": "the boot service cannot read this"})
_UNPROVEN = json_reply(409, {"reason": "the report does not prove the install: bmk why DC HOST says why"})


async def admit(
    context: RequestContext, client: Client, grant_id: str, sent: Sent, handle: Callable[[], Awaitable[Reply]]
) -> Reply:
    """Nothing is read before it is proven, where the grant asks for it; then the answer is proven too."""
    try:
        grant = grants.get(context.reader, grant_id)
    except PreflightRefused:
        return await handle()  # which says that there is no such grant
    try:
        key = check(Nonces.of(context.reader), grant, sent)
    except NotYet:
        text = f"asks before its secret was read from the host's console: {context.describe_client(client.address)}"
        await context.tell_limited("attest.unheard", text, context.dc.hosts.get(grant.host), client.address)
        return _NOT_YET
    except Unproven as error:
        error.what = f"{error.what}: {context.describe_client(client.address)}"
        return await refused(context, client, grant_id, error, "attest.refused")
    return proven(await handle(), key, sent)


async def claim(context: RequestContext, client: Client, grant_id: str, said: Claim | None) -> Reply:
    """Facts against a spec, once, for the machine of the grant; the same claim again is answered the same."""
    try:
        if said is None:
            raise PreflightRefused("the claim cannot be read", hint="is the ramdisk of this version of bmk?")
        grant = grants.get(context.reader, grant_id)
        host = _checked(context, client, grant, said)
        if grant.attest == "tpm":
            measured.check(said.evidence, Nonces.of(context.reader).get(grant_id), grant)
        spec = install_spec(
            host, grant, context.artifacts(), InstallServer(context.dc.name, context.url, _keys(context, host))
        )
        taken = Taken(client.address, json.dumps(said.facts(), sort_keys=True), json.dumps(spec, sort_keys=True))
        before = await context.writer.run(lambda journal: _claimed(journal, grant, said, taken, context.now()))
    except PreflightRefused as error:
        return await refused(context, client, grant_id, error)
    return Reply(200, before.spec.encode(), "application/json")


def _checked(context: RequestContext, client: Client, grant: Grant, said: Claim) -> Host:
    """The host of the grant, if this is it that asks. PreflightRefused says why not."""
    host = context.dc.hosts.get(grant.host)
    if host is None:
        raise PreflightRefused("the host is not in the data center file any more", where=grant.host)
    if grant.claimed is not None:
        return host  # grants.claim() lets nobody in but the claimer, who says again what was checked then
    own_address = context.speaks_for(client.address, host)
    facts = BootFacts(said.macs, said.uuid, said.serial, complete=True, own_address=own_address)
    decision = decide(facts, grant, context.now())
    if not isinstance(decision, Install):
        hint = "" if own_address else "reserve the address for the host's MAC in your DHCP server"
        hint = hint or getattr(decision, "hint", "bmk plan DC")
        raise PreflightRefused(decision.reason, where=host.name, hint=hint)
    return host


def _keys(context: RequestContext, host: Host) -> tuple[str, ...]:
    keys = context.authorized_keys(host)
    if not keys:
        # Without a key nobody could log in: better no install than a machine out of reach.
        raise PreflightRefused("the deployer has no ssh key yet", hint="bmk provision DC makes one")
    return keys


def _claimed(journal: Journal, grant: Grant, said: Claim, taken: Taken, now: float) -> Taken:
    with journal.transaction():
        before = grants.claim(journal, grant.id, said.token, taken, now)
        journal.record(grant.host, "inspection", {**said.facts(), "at": now})
        data = {"grant": grant.id, "client": taken.client}
        if grant.attest == "tpm":
            measured.remember(journal, grant, said.evidence, now)
        journal.append(Event("http", "agent.claimed", "the ramdisk took the grant", host=grant.host, data=data, at=now))
    return before


async def events(context: RequestContext, client: Client, grant_id: str, said: list[Any] | None) -> Reply:
    """A list of {kind, text, level, data} from the one who claimed the grant, while it is open."""
    grant = grants.claimant(context.reader, grant_id, client.token, client.address)
    if grant is None or not grant.open_at(context.now()):
        return await _no_claimer(context, client, grant_id)
    if said is None:
        return _UNREADABLE
    found = [_event(grant, one, context.now()) for one in said]
    await context.writer.run(lambda journal: journal.extend(found))
    return json_reply(200, {"stored": len(found)})


def _event(grant: Grant, one: Any, now: float) -> Event:
    try:
        told = Told.model_validate(one)
    except ValidationError:
        told = Told(text="an event that cannot be read", level="warning")
    data = told.data.model_dump() if told.data is not None and told.kind == "image.progress" else {}
    return Event("agent", told.kind, told.text, grant.host, level=told.level, data={**data, "grant": grant.id}, at=now)


async def done(context: RequestContext, client: Client, grant_id: str, said: Done | None) -> Reply:
    """The proof of an install. It spends the grant; the same report again is answered the same for a while."""
    grant, now = grants.claimant(context.reader, grant_id, client.token, client.address), context.now()
    if grant is not None and grant.ended_as("spent", now):
        return json_reply(200, {"outcome": "spent"})
    if grant is None or not grant.may_finish(now):
        return await _no_claimer(context, client, grant_id)
    problem = "it cannot be read" if said is None else _problem(grant, said)
    if said is None or problem:
        await _end(context, grant, FailureReport(what=f"the report does not prove the install: {problem}"))
        return _UNPROVEN
    if not await context.writer.run(lambda journal: _installed(journal, grant, said, now)):
        return await _no_claimer(context, client, grant_id)
    return json_reply(200, {"outcome": "spent"})


def _problem(grant: Grant, report: Done) -> str:
    """What is wrong with a report; "" when it proves that the granted image is on the granted disk."""
    if report.image_sha256 != grant.image_sha256:
        return "another image was written than the one that was granted"
    if report.readback_sha256 != grant.raw_sha256:
        return "what was read back from the disk is not what the image unpacks to"
    wanted = grant.disk.get("serial")
    if wanted and plain_serial(report.disk_serial) != plain_serial(wanted):
        return f"disk {report.disk_serial} was written, {wanted} was granted"
    return ""


def _installed(journal: Journal, grant: Grant, report: Done, now: float) -> bool:
    """All of it or nothing: killed before the end of the transaction, the ramdisk reports again and nothing is lost."""
    proof = report.model_dump(mode="json", exclude={"image_sha256", "host_keys"})
    installed = InstallationRecord(
        serial=grant.serial,
        uuid=grant.uuid,
        disk_serial=report.disk_serial,
        image_sha256=grant.image_sha256,
        grant=grant.id,
        attest=grant.attest,
        at=now,
        proof=proof,
    )
    facts = {installed.KEY: installed.model_dump(mode="json"), "host_keys": list(report.host_keys)}
    data = {"grant": grant.id, **proof}
    told = Event("agent", "agent.done", "installed and read back", grant.host, data=data, at=now)
    with journal.transaction():
        finished = grants.finish(journal, grant.id, facts, now)
        if finished:
            journal.append(told)
    return finished


async def failed(context: RequestContext, client: Client, grant_id: str, said: FailureReport | None) -> Reply:
    """The ramdisk gave up: what and why. The grant is over; the machine stays reachable for a look."""
    grant, now = grants.claimant(context.reader, grant_id, client.token, client.address), context.now()
    if grant is not None and grant.ended_as("failed", now):
        return json_reply(200, {"outcome": "failed"})
    if grant is None or not grant.open_at(now):
        return await _no_claimer(context, client, grant_id)
    await _end(context, grant, said or FailureReport(what="the ramdisk gave up with words that cannot be read"))
    return json_reply(200, {"outcome": "failed"})


async def _end(context: RequestContext, grant: Grant, said: FailureReport) -> None:
    """Grant and reason together: who waits for the end of the grant finds the reason."""
    now, data = context.now(), {**said.model_dump(exclude={"what"}), "grant": grant.id}
    text = said.what or "the ramdisk gave up"
    told = Event("agent", "agent.failed", text, host=grant.host, level="error", data=data, at=now)

    def end(journal: Journal) -> None:
        with journal.transaction():
            if grants.end(journal, grant.id, "failed", now):
                journal.append(told)

    await context.writer.run(end)


async def _no_claimer(context: RequestContext, client: Client, grant_id: str) -> Reply:
    what = "this is not the address and the token of the grant's claim, or the grant is over"
    return await refused(context, client, grant_id, PreflightRefused(what, where=grant_id))


async def refused(
    context: RequestContext, client: Client, grant_id: str, error: PreflightRefused, kind: str = "agent.refused"
) -> Reply:
    """One text for the machine, all of it for the journal."""
    try:
        host = context.dc.hosts.get(grants.get(context.reader, grant_id).host)
    except PreflightRefused:
        host = None
    data = {"level": "warning", "hint": error.hint, "grant": grant_id if host else None}
    await context.tell_limited(kind, f"refused: {error.what}", host, client.address, **data)
    return _REFUSED
