"""The routes that the install ramdisk asks: claim a grant once, tell how it goes, and end it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from bmk.boot import grants
from bmk.boot.decide import Facts, Install, decide
from bmk.boot.desk import Desk
from bmk.boot.grants import Grant
from bmk.boot.http import Reply, Request
from bmk.boot.spec import Server, install_spec
from bmk.datacenter.resolve import Host
from bmk.errors import PreflightRefused
from bmk.journal import Event, Journal

_KIND = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+){0,3}")
_OURS = ("grant.", "boot.", "install.", "phase.", "run.", "bmc.")  # kinds that only bmk itself may write
_HOST_KEY = re.compile(r"(ssh-ed25519|ecdsa-sha2-nistp256|ssh-rsa) [A-Za-z0-9+/]{40,1400}={0,3}( [\w.@-]{0,100})?")
_LEVELS = ("debug", "info", "warning", "error")
_MOST_EVENTS, _LONGEST = 500, 2000


async def claim(desk: Desk, request: Request, grant_id: str) -> Reply:
    """Facts against a token and a spec, once; 403 with the reason for everybody else."""
    said = _object(request)
    try:
        grant = grants.get(desk.reader, grant_id)
        host = _checked(desk, request, grant, said)
        server = Server(desk.dc.name, desk.url, _keys(desk))
        token = await desk.recorder.run(lambda journal: grants.claim(journal, grant_id, desk.now()))
    except PreflightRefused as error:
        return await _refused(desk, request, grant_id, error)
    inspected = {key: said.get(key) for key in ("disks", "firmware", "macs", "uuid", "serial")}
    await desk.recorder.run(lambda journal: journal.record(host.name, "inspection", {**inspected, "at": desk.now()}))
    await desk.tell("agent.claimed", "the ramdisk took the grant", host.name, grant=grant_id, client=request.client)
    return _json(200, {"token": token, "spec": install_spec(host, grant, desk.artifacts(), server)})


def _checked(desk: Desk, request: Request, grant: Grant, said: Mapping[str, Any]) -> Host:
    """The host of the grant, if this is it that asks. PreflightRefused says why not."""
    host = desk.dc.hosts.get(grant.host)
    if host is None:
        raise PreflightRefused("the host is not in the data center file any more", where=grant.host)
    if not desk.speaks_for(request.client, host):
        what = f"the claim comes from {request.client or 'nowhere'}, {host.name} has {host.address}"
        raise PreflightRefused(what, where=host.name, hint="reserve the address for the host's MAC in your DHCP server")
    macs = tuple(str(mac) for mac in said.get("macs") or ())
    facts = Facts(macs, _text(said.get("uuid")), _text(said.get("serial")), complete=True)
    decision = decide(facts, grant, desk.now())
    if not isinstance(decision, Install):
        raise PreflightRefused(decision.reason, where=host.name, hint=getattr(decision, "hint", "run bmk plan again"))
    return host


def _keys(desk: Desk) -> tuple[str, ...]:
    keys = desk.authorized_keys()
    if not keys:
        # Without a key nobody could log in: better no install than a machine out of reach.
        raise PreflightRefused("the deployer has no ssh key yet", hint="run bmk provision, which makes one")
    return keys


async def _refused(desk: Desk, request: Request, grant_id: str, error: PreflightRefused) -> Reply:
    try:
        host = grants.get(desk.reader, grant_id).host
    except PreflightRefused:
        host = None
    data = {"level": "warning", "client": request.client, "hint": error.hint}
    await desk.tell("agent.refused", f"claim refused: {error.what}", host, **data)
    return _json(403, {"reason": error.what, "hint": error.hint})


async def events(desk: Desk, request: Request, grant_id: str) -> Reply:
    """A list of {kind, text, level, data} from the one who claimed the grant."""
    grant = grants.authenticate(desk.reader, grant_id, request.bearer)
    if grant is None:
        return await _unknown(desk, request, grant_id)
    told = _body(request)
    if not isinstance(told, list) or len(told) > _MOST_EVENTS:
        return _json(400, {"reason": f"a list of at most {_MOST_EVENTS} events is expected"})
    found = [_event(grant, one if isinstance(one, dict) else {"text": str(one)}) for one in told]
    await desk.recorder.run(lambda journal: journal.extend(found))
    return _json(200, {"stored": len(told)})


def _event(grant: Grant, one: Mapping[str, Any]) -> Event:
    kind = str(one.get("kind", ""))
    if not _KIND.fullmatch(kind) or kind.startswith(_OURS):
        kind = "agent.said"
    level = one.get("level") if one.get("level") in _LEVELS else "info"
    data = one.get("data") if isinstance(one.get("data"), dict) else {}
    text = str(one.get("text", ""))[:_LONGEST]
    return Event("agent", kind, text, host=grant.host, level=level, data={**(data or {}), "grant": grant.id})  # type: ignore[arg-type]


async def done(desk: Desk, request: Request, grant_id: str) -> Reply:
    """The proof of an install. It spends the grant; the same report again is answered the same."""
    grant = grants.authenticate(desk.reader, grant_id, request.bearer)
    if grant is None:
        return await _unknown(desk, request, grant_id)
    if grant.outcome == "spent":
        return _json(200, {"outcome": "spent"})
    report = _object(request)
    problem = _problem(grant, report)
    if problem:
        await _end(desk, grant, "failed", f"the report does not prove the install: {problem}")
        return _json(409, {"reason": problem})
    await desk.recorder.run(lambda journal: _install_is_done(journal, grant, report, desk.now()))
    await desk.tell(
        "agent.done", "installed and read back", grant.host, source="agent", grant=grant.id, **_figures(report)
    )
    return _json(200, {"outcome": "spent"})


def _problem(grant: Grant, report: Mapping[str, Any]) -> str:
    """What is wrong with a report; "" when it proves that the granted image is on the granted disk."""
    if report.get("image_sha256") != grant.image_sha256:
        return "another image was written than the one that was granted"
    if not report.get("readback_sha256"):
        return "nothing was read back"
    wanted = grant.disk.get("serial")
    if wanted and report.get("disk_serial") != wanted:
        return f"disk {report.get('disk_serial')} was written, {wanted} was granted"
    keys = report.get("host_keys")
    if not isinstance(keys, list) or not keys or not all(_HOST_KEY.fullmatch(str(key)) for key in keys):
        return "no ssh host keys were reported"
    return "" if grant.ended is None or grant.outcome == "expired" else f"the grant is {grant.outcome}"


def _install_is_done(journal: Journal, grant: Grant, report: Mapping[str, Any], now: float) -> None:
    """Facts first, then the grant: killed between the two, the ramdisk reports again and nothing is lost."""
    installed = {
        "image_sha256": grant.image_sha256,
        "disk_serial": report.get("disk_serial"),
        "grant": grant.id,
        "at": now,
    }
    journal.record(grant.host, "installed", {**installed, "proof": _figures(report)})
    journal.record(grant.host, "host_keys", list(report["host_keys"]))
    grants.end(journal, grant.id, "spent", now)


def _figures(report: Mapping[str, Any]) -> dict[str, Any]:
    return {key: report.get(key) for key in ("readback_sha256", "bytes", "seconds", "boot_order", "disk_serial")}


async def failed(desk: Desk, request: Request, grant_id: str) -> Reply:
    """The ramdisk gave up: what, why, hint. The grant is over; the machine stays reachable for a look."""
    grant = grants.authenticate(desk.reader, grant_id, request.bearer)
    if grant is None:
        return await _unknown(desk, request, grant_id)
    report = _object(request)
    said = {key: str(report.get(key, ""))[:_LONGEST] for key in ("what", "why", "hint")}
    more = {"why": said["why"], "hint": said["hint"], "retry": report.get("retry") is True}
    await _end(desk, grant, "failed", said["what"] or "the ramdisk gave up", **more)
    return _json(200, {"outcome": "failed"})


async def _end(desk: Desk, grant: Grant, outcome: grants.Outcome, text: str, **data: Any) -> None:
    await desk.recorder.run(lambda journal: grants.end(journal, grant.id, outcome, desk.now()))
    await desk.tell("agent.failed", text, grant.host, source="agent", level="error", grant=grant.id, **data)


async def _unknown(desk: Desk, request: Request, grant_id: str) -> Reply:
    error = PreflightRefused("the token is not the one of this grant's claim", where=grant_id)
    return await _refused(desk, request, grant_id, error)


def _object(request: Request) -> dict[str, Any]:
    body = _body(request)
    return body if isinstance(body, dict) else {}


def _body(request: Request) -> Any:
    try:
        return json.loads(request.body or b"null")
    except ValueError:
        return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _json(status: int, value: Any) -> Reply:
    return Reply(status, json.dumps(value).encode() + b"\n", "application/json")
