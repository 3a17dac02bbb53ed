"""Is it the granted machine that asks? Decided for every request by the secret that only it was given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from http import HTTPStatus

from bmk.agent.proof import HEADER, ProofKey, same
from bmk.boot.grants import Grant
from bmk.boot.nonces import Nonces
from bmk.boot.reply import Reply
from bmk.boot.tpm import secret
from bmk.errors import PreflightRefused


class Unproven(PreflightRefused):
    """The client does not know the secret. The text is for the journal only."""


class NotYet(Exception):
    """The deployer has not read the machine's console yet: the client asks again."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request of a ramdisk: verb, exact bytes, and the proof that came with it ("": none did)."""

    verb: str
    body: bytes
    proof: str


def check(nonces: Nonces, grant: Grant, sent: Sent) -> ProofKey | None:
    """The key that proves the answer, when the request is proven; None where the grant asks for no proof.

    Raises Unproven, or NotYet while nobody knows the secret.
    """
    if grant.attest == "none":
        return None
    nonce = nonces.get(grant.id)
    if nonce is None and grant.attest == "console":
        raise NotYet
    if nonce is not None and grant.attest == "tpm":
        nonce = secret.nonce(nonce)
    key = ProofKey.derive(nonce, grant.id) if nonce is not None else None
    if key is None or not same(sent.proof, key.request(sent.verb, sent.body)):
        what = f"{'a wrong proof' if sent.proof else 'no proof'} by way of {grant.attest}: not this host asks"
        raise Unproven(what, where=grant.host)
    return key


def proven(reply: Reply, key: ProofKey | None, sent: Sent) -> Reply:
    """The reply with its proof; a refusal stays without."""
    if key is None or reply.status >= HTTPStatus.MULTIPLE_CHOICES:
        return reply
    return replace(reply, headers={**reply.headers, HEADER: key.answer(sent.verb, sent.proof, reply.body)})
