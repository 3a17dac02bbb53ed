"""The routes that firmware asks: what to boot, and whether the installer's bytes may be had. All ask decide()."""

from __future__ import annotations

import re

from bmk.boot import grants
from bmk.boot.decide import Decision, Facts, Install, Local, Refuse, decide, may_write
from bmk.boot.desk import Desk
from bmk.boot.grants import Grant
from bmk.boot.http import Reply, Request
from bmk.boot.ipxe import IMAGE, discover, script
from bmk.boot.spec import installer_path
from bmk.errors import PreflightRefused

_INSTALL = re.compile(r"/install/(?P<grant>[0-9A-Za-z_-]{1,64})/(?P<name>[a-z.]{1,32})(?:\?.*)?")
_WORD = {Install: "install", Local: "local", Refuse: "refuse"}


async def healthz(desk: Desk, _request: Request) -> Reply:
    """Alive, and the journal can be read."""
    return Reply(200, f"ok {desk.dc.name} {desk.reader.last_seq()}\n".encode())


async def boot(desk: Desk, request: Request) -> Reply:
    """The iPXE script of a machine; the script that asks who it is when it did not say."""
    asked = request.query
    mac = asked.get("mac", "").lower().replace("-", ":")
    if not mac:
        known = desk.host_by_address(request.client)
        await desk.tell("boot.asked", "asks what to boot", known.name if known else None, client=request.client)
        return Reply(200, discover(desk.url).encode())
    facts = Facts((mac,), asked.get("uuid"), asked.get("serial"))
    host = desk.host_by_mac(mac)
    decision: Decision = Local("this machine is not in the data center file")
    if host is not None:
        decision = decide(facts, grants.latest(desk.reader, host.name), desk.now())
    seen = {key: asked.get(key, "")[:80] for key in ("mac", "uuid", "serial", "platform")}
    await _answered(desk, {**seen, "client": request.client}, host.name if host else None, decision)
    return Reply(200, script(decision, host.name if host else "unknown machine", desk.url).encode())


async def _answered(desk: Desk, seen: dict[str, str], host: str | None, decision: Decision) -> None:
    word = _WORD[type(decision)]
    hint = {"hint": decision.hint} if isinstance(decision, Refuse) else {}
    level = "warning" if host is None or isinstance(decision, Refuse) else "info"
    text = f"answered {word}: {decision.reason}"
    await desk.tell("boot.answered", text, host, level=level, decision=word, **seen, **hint)


async def authorize(desk: Desk, request: Request) -> Reply:
    """nginx's question before it serves a byte of the installer: 204 and the file's path, or 403 and the reason."""
    found = _INSTALL.fullmatch(request.headers.get("x-original-uri", ""))
    if not found:
        return Reply(403, headers={"X-Bmk-Reason": "not a file of the installer"})
    name = found["name"]
    try:
        grant = grants.get(desk.reader, found["grant"])
    except PreflightRefused as error:
        await desk.tell("install.refused", f"{name}: {error.what}", None, level="warning", client=request.client)
        return Reply(403, headers={"X-Bmk-Reason": error.what})
    reason = _refusal(desk, request, grant, name)
    path = installer_path(desk.artifacts(), name)
    if reason or path is None:
        reason = reason or f"the mirror has no {name}: run bmk artifacts sync"
        await desk.tell("install.refused", f"{name}: {reason}", grant.host, level="warning", client=request.client)
        return Reply(403, headers={"X-Bmk-Reason": reason})
    await desk.tell("install.served", f"serves {name}", grant.host, grant=grant.id, client=request.client)
    return Reply(204, headers={"X-Bmk-File": path})


def _refusal(desk: Desk, request: Request, grant: Grant, name: str) -> str:
    """Why a file of the installer is not for this client; "" when it is."""
    host = desk.dc.hosts.get(grant.host)
    if host is None:
        return f"{grant.host} is not in the data center file any more"
    if not desk.speaks_for(request.client, host):
        return f"{request.client or 'the client'} is not the address of {host.name}"
    facts = Facts(tuple(nic.mac for nic in host.nics))
    decision = (may_write if name == IMAGE else decide)(facts, grant, desk.now())
    if not isinstance(decision, Install):
        return decision.reason
    pinned = desk.artifacts().get(grant.image, {}).get("sha256")
    if name == IMAGE and pinned != grant.image_sha256:
        return "the mirror holds another image than the one that was granted"
    return ""
