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


async def healthz(context: RequestContext) -> Reply:
    """Alive, and the journal can be read."""
    context.reader.last_seq()
    return Reply(200, f"ok {context.dc.name}\n".encode())


async def boot(context: RequestContext, client: Client, asked: BootQuestion) -> Reply:
    """The iPXE script of a machine; one that makes it identify itself when the request has no MAC."""
    if not asked.mac:
        await context.tell_limited(
            "boot.asked", "asks what to boot", context.host_by_address(client.address), client.address
        )
        return Reply(200, discover(context.url).encode())
    host = context.host_by_mac(asked.mac)
    grant = grants.latest(context.reader, host.name) if host else None
    decision: Decision = Local("this machine is not in the data center file")
    if host is not None:
        facts = BootFacts((asked.mac,), asked.uuid, asked.serial, own_address=context.speaks_for(client.address, host))
        decision = decide(facts, grant, context.now())
    data = {**asked.model_dump(), "grant": grant.id if grant else None}
    await _answered(context, client, data, host, decision)
    name = host.name if host else "unknown machine"
    return Reply(200, script(decision, name, context.url, _committed(context, decision)).encode())


def _committed(context: RequestContext, decision: Decision) -> str:
    """What the command line says of the nonce that the ramdisk will be challenged with; "" where none is."""
    if not isinstance(decision, Install) or decision.grant.attest != "tpm":
        return ""
    grant = decision.grant.id
    return commitment(secret.nonce(Nonces.of(context.reader).made(grant)), grant)


async def _answered(
    context: RequestContext, client: Client, data: dict[str, Any], host: Host | None, decision: Decision
) -> None:
    word = _WORD[type(decision)]
    hint = {"hint": decision.hint} if isinstance(decision, Refuse) else {}
    level = "warning" if host is None or isinstance(decision, Refuse) else "info"
    text = f"answered {word}: {decision.reason}"
    await context.tell_limited("boot.answered", text, host, client.address, level=level, decision=word, **data, **hint)


async def authorize(context: RequestContext, client: Client, asked: FileQuestion | None) -> Reply:
    """nginx's question before it serves a byte of the installer: 204 and the file's path, or 403."""
    if asked is None:
        return _NOTHING
    try:
        grant = grants.get(context.reader, asked.grant)
    except PreflightRefused as error:
        await context.tell_limited(
            "install.refused", f"{asked.name}: {error.what}", None, client.address, level="warning"
        )
        return _NOTHING
    host, path = context.dc.hosts.get(grant.host), installer_path(context.artifacts(), asked.name)
    reason = _refusal(context, client, grant, asked.name)
    if reason or path is None:
        text = f"{asked.name}: {reason or 'the mirror does not have it, run bmk artifacts build'}"
        await context.tell_limited("install.refused", text, host, client.address, level="warning", grant=grant.id)
        return _NOTHING
    await context.tell_limited("install.served", f"serves {asked.name}", host, client.address, grant=grant.id)
    return Reply(204, headers={"X-Bmk-File": path})


def _refusal(context: RequestContext, client: Client, grant: Grant, name: str) -> str:
    """Why a file of the installer is not for this client; "" when it is."""
    host = context.dc.hosts.get(grant.host)
    if host is None:
        return f"{grant.host} is not in the data center file any more"
    decision = _opened(context, client, grant, host, name)
    if not isinstance(decision, Install):
        return decision.reason
    pinned = context.artifacts().get(grant.image, {}).get("sha256")
    if name == IMAGE and pinned != grant.image_sha256:
        return "the mirror holds another image than the one that was granted"
    return ""


def _opened(context: RequestContext, client: Client, grant: Grant, host: Host, name: str) -> Decision:
    """Kernel and ramdisk for the host's address before the claim, the image for the claimer after it."""
    if name == IMAGE:
        claimer = grants.claimant(context.reader, grant.id, client.token, client.address) is not None
        return may_write(grant, context.now(), claimer)
    macs = tuple(nic.mac for nic in host.nics)
    return decide(BootFacts(macs, own_address=context.speaks_for(client.address, host)), grant, context.now())
