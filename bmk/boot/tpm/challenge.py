"""The challenge: the grant's secret, for the TPM that a person accepted as the host's, and for no other.

Any client at the host's address may get it: only that TPM, with the named signing key loaded, can decrypt it.
"""

from __future__ import annotations

import base64

from bmk.agent.nonces.tpm import sealed
from bmk.boot import grants
from bmk.boot.agent_routes import refused
from bmk.boot.decide import BootFacts, Install, decide
from bmk.boot.grants import Grant
from bmk.boot.nonces import Nonces
from bmk.boot.reply import Reply, json_reply
from bmk.boot.request_context import RequestContext
from bmk.boot.request_models import Client, Presented, Troubled
from bmk.boot.tpm import secret
from bmk.boot.tpm.accepted import Seen, accepted, remember
from bmk.boot.tpm.credential import issuer, make_credential
from bmk.datacenter.resolve import Host
from bmk.errors import PreflightRefused
from bmk.journal import Event, Journal
from bmk.journal.quoted import plain, quote

_ISSUER = 200  # characters


async def challenge(context: RequestContext, client: Client, grant_id: str, said: Presented | Troubled | None) -> Reply:
    """What the machine's TPM has to decrypt, as JSON of base64; a refusal unless it is the accepted TPM."""
    kind = "agent.refused"
    try:
        grant = grants.get(context.reader, grant_id)
        host = _host(context, client, grant)
        if said is None:
            raise PreflightRefused(
                "what its TPM presents cannot be read", hint="is the ramdisk of this version of bmk?"
            )
        if isinstance(said, Troubled):
            kind = "tpm.missing"
            raise PreflightRefused(
                f"it says {quote(said.problem)}: {context.describe_client(client.address)}", where=host.name
            )
        kind = "tpm.foreign"
        await _recognise(context, client, grant, said)
    except PreflightRefused as error:
        return await refused(context, client, grant_id, error, kind)
    return await _answer(context, client, host, grant, said)


def _host(context: RequestContext, client: Client, grant: Grant) -> Host:
    """The host of a grant with attestation by TPM, if the client may be that host. Raises PreflightRefused."""
    host = context.dc.hosts.get(grant.host)
    if host is None or grant.attest != "tpm":
        raise PreflightRefused("no TPM is asked to prove this grant", where=grant.host)
    macs = tuple(nic.mac for nic in host.nics)
    decision = decide(BootFacts(macs, own_address=context.speaks_for(client.address, host)), grant, context.now())
    if not isinstance(decision, Install):
        raise PreflightRefused(decision.reason, where=host.name)
    return host


async def _recognise(context: RequestContext, client: Client, grant: Grant, said: Presented) -> None:
    """PreflightRefused unless it is the accepted TPM. When none is accepted the grant ends, so that the waiting run
    fails at once.
    """
    wanted, shown = accepted(context.reader, grant.host), said.ek.digest
    if shown == wanted:
        return
    named = plain(issuer(said.certificate, said.ek), _ISSUER)
    new = Seen(shown, named, client.address, context.neighbours.mac(client.address) or "", context.now())
    what = f"a TPM with the endorsement key {shown}" + (f", made by {quote(named)} as it says" if named else "")
    if wanted is None or context.limit.admits((grant.host, True), ("tpm.seen", shown), context.now()):
        await context.writer.run(lambda journal: _remember(journal, grant, new, what, context.now()))
    problem = "which nobody accepted" if wanted is None else f"not {wanted}, which was accepted"
    hint = f"if its board or its TPM was replaced: bmk tpm accept {context.dc.name} {grant.host}"
    raise PreflightRefused(
        f"it has {what}, {problem}: {context.describe_client(client.address)}", where=grant.host, hint=hint
    )


def _remember(journal: Journal, grant: Grant, new: Seen, what: str, now: float) -> None:
    with journal.transaction():
        remember(journal, grant.host, new)
        if accepted(journal, grant.host) is None and grants.end(journal, grant.id, "failed", now):
            text = f"presents {what}, and no TPM was accepted as this host's"
            data = {"ek": new.ek, "grant": grant.id}
            journal.append(Event("http", "tpm.unknown", text, host=grant.host, level="error", data=data, at=now))


async def _answer(context: RequestContext, client: Client, host: Host, grant: Grant, said: Presented) -> Reply:
    root = Nonces.of(context.reader).made(grant.id)
    carried = secret.carried(root, said.ak.name)
    try:
        credential, opener = make_credential(said.ek, said.ak.name, carried)
    except ValueError as error:
        problem = PreflightRefused(f"its endorsement key cannot be used: {error}", where=host.name)
        return await refused(context, client, grant.id, problem)
    await context.tell_limited(
        "tpm.challenged", "the accepted TPM was challenged", host, client.address, grant=grant.id
    )
    parts = {"credential": credential, "secret": opener, "sealed": sealed(secret.nonce(root), carried)}
    return json_reply(200, {name: base64.b64encode(part).decode() for name, part in parts.items()})
