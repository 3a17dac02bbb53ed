"""The routes that firmware asks: what to boot, and whether the installer's bytes may be had. All ask decide()."""

from __future__ import annotations

from typing import Any

from bmk.agent.nonces.tpm import commitment
from bmk.boot import grants
from bmk.boot.decide import BootFacts, Decision, Install, Local, Refuse, decide, may_write
from bmk.boot.grants import Grant
from bmk.boot.ipxe import IMAGE, discover, script
from bmk.boot.nonces import Nonces
from bmk.boot.reply import Reply
from bmk.boot.request_context import RequestContext
from bmk.boot.request_models import BootQuestion, Client, FileQuestion
from bmk.boot.spec import installer_path
from bmk.boot.tpm import secret
from bmk.datacenter.resolve import Host
from bmk.errors import PreflightRefused

_WORD = {Install: "install", Local: "local", Refuse: "refuse"}
_NOTHING = Reply(403)  # without a reason: a reason would help an attacker to forge the request


async def healthz(desk: RequestContext) -> Reply:
    """Alive, and the journal can be read."""
    desk.reader.last_seq()
    return Reply(200, f"ok {desk.dc.name}\n".encode())


async def boot(desk: RequestContext, asker: Client, asked: BootQuestion) -> Reply:
    """The iPXE script of a machine; one that makes it identify itself when the request has no MAC."""
    if not asked.mac:
        await desk.overhear("boot.asked", "asks what to boot", desk.host_by_address(asker.client), asker.client)
        return Reply(200, discover(desk.url).encode())
    host = desk.host_by_mac(asked.mac)
    grant = grants.latest(desk.reader, host.name) if host else None
    decision: Decision = Local("this machine is not in the data center file")
    if host is not None:
        facts = BootFacts((asked.mac,), asked.uuid, asked.serial, own_address=desk.speaks_for(asker.client, host))
        decision = decide(facts, grant, desk.now())
    data = {**asked.model_dump(), "grant": grant.id if grant else None}
    await _answered(desk, asker, data, host, decision)
    name = host.name if host else "unknown machine"
    return Reply(200, script(decision, name, desk.url, _committed(desk, decision)).encode())


def _committed(desk: RequestContext, decision: Decision) -> str:
    """What the command line says of the nonce that the ramdisk will be challenged with; "" where none is."""
    if not isinstance(decision, Install) or decision.grant.attest != "tpm":
        return ""
    grant = decision.grant.id
    return commitment(secret.nonce(Nonces.of(desk.reader).made(grant)), grant)


async def _answered(
    desk: RequestContext, asker: Client, data: dict[str, Any], host: Host | None, decision: Decision
) -> None:
    word = _WORD[type(decision)]
    hint = {"hint": decision.hint} if isinstance(decision, Refuse) else {}
    level = "warning" if host is None or isinstance(decision, Refuse) else "info"
    text = f"answered {word}: {decision.reason}"
    await desk.overhear("boot.answered", text, host, asker.client, level=level, decision=word, **data, **hint)


async def authorize(desk: RequestContext, asker: Client, asked: FileQuestion | None) -> Reply:
    """nginx's question before it serves a byte of the installer: 204 and the file's path, or 403."""
    if asked is None:
        return _NOTHING
    try:
        grant = grants.get(desk.reader, asked.grant)
    except PreflightRefused as error:
        await desk.overhear("install.refused", f"{asked.name}: {error.what}", None, asker.client, level="warning")
        return _NOTHING
    host, path = desk.dc.hosts.get(grant.host), installer_path(desk.artifacts(), asked.name)
    reason = _refusal(desk, asker, grant, asked.name)
    if reason or path is None:
        text = f"{asked.name}: {reason or 'the mirror does not have it, run bmk artifacts build'}"
        await desk.overhear("install.refused", text, host, asker.client, level="warning", grant=grant.id)
        return _NOTHING
    await desk.overhear("install.served", f"serves {asked.name}", host, asker.client, grant=grant.id)
    return Reply(204, headers={"X-Bmk-File": path})


def _refusal(desk: RequestContext, asker: Client, grant: Grant, name: str) -> str:
    """Why a file of the installer is not for this client; "" when it is."""
    host = desk.dc.hosts.get(grant.host)
    if host is None:
        return f"{grant.host} is not in the data center file any more"
    decision = _opened(desk, asker, grant, host, name)
    if not isinstance(decision, Install):
        return decision.reason
    pinned = desk.artifacts().get(grant.image, {}).get("sha256")
    if name == IMAGE and pinned != grant.image_sha256:
        return "the mirror holds another image than the one that was granted"
    return ""


def _opened(desk: RequestContext, asker: Client, grant: Grant, host: Host, name: str) -> Decision:
    """Kernel and ramdisk for the host's address before the claim, the image for the claimer after it."""
    if name == IMAGE:
        claimer = grants.claimant(desk.reader, grant.id, asker.token, asker.client) is not None
        return may_write(grant, desk.now(), claimer)
    macs = tuple(nic.mac for nic in host.nics)
    return decide(BootFacts(macs, own_address=desk.speaks_for(asker.client, host)), grant, desk.now())
