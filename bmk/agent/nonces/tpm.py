"""The nonce by way of the machine's TPM: sent over the boot network, for this TPM's endorsement key only.

`docs/attestation.md` tells the whole exchange. Both sides compute with the pure functions here.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from bmk.agent.errors import AgentError
from bmk.agent.model import Order
from bmk.agent.proof import NONCE, same
from bmk.agent.tpm.commands import Exchange, Tpm, unproven
from bmk.agent.tpm.wire import PCRS

Ask = Callable[[dict[str, Any]], Any]  # sends what the machine presents; returns the answer


def commitment(nonce: bytes, grant: str) -> str:
    """What the kernel's command line says of the nonce before anybody has it: hex. It tells nothing of the nonce."""
    return hmac.digest(nonce, b"bmk commitment\0" + grant.encode(), "sha256").hex()


def sealed(nonce: bytes, carried: bytes) -> bytes:
    """The nonce under what a credential carries; of the same again, the nonce."""
    pad = hmac.digest(carried, b"bmk nonce", "sha256")
    return bytes(one ^ other for one, other in zip(nonce, pad, strict=True))


def qualifying(carried: bytes, grant: str) -> bytes:
    """What a quote is about: only who could open the credential of the signing key knows it."""
    return hmac.digest(carried, b"bmk quote\0" + grant.encode(), "sha256")


@dataclass(frozen=True, slots=True)
class Proven:
    """`nonce`: shared with the deployer now; `evidence`: what the claim says of how the machine was booted."""

    nonce: bytes
    evidence: dict[str, Any]


def obtain(
    machine: Callable[[], AbstractContextManager[Exchange]], order: Order, ask: Ask, say: Callable[[str], None]
) -> Proven:
    """Ask the boot service by `ask` for a challenge and meet it with the TPM of this `machine`.

    AgentError when there is no TPM or it fails, which the boot service is told too, and when the answer to the
    challenge is somebody else's.
    """
    try:
        with machine() as exchange:
            tpm = Tpm(exchange)
            try:
                return _met(tpm, order, ask, say)
            except ValueError as error:
                raise AgentError("the TPM answers what no TPM does", why=str(error), code="tpm") from None
            finally:
                tpm.close()
    except AgentError as error:
        if error.code == "tpm":
            _tell(ask, error)
        raise


def _met(tpm: Tpm, order: Order, ask: Ask, say: Callable[[str], None]) -> Proven:
    endorsement, ek, certificate = tpm.endorsement_key()
    signer, ak = tpm.signing_key()
    say(f"its TPM has the endorsement key {ek.digest}")
    answer = _read(ask({"ek": _text(ek.raw), "ak": _text(ak.raw), "certificate": _text(certificate)}))
    carried = tpm.activate(signer, endorsement, answer["credential"], answer["secret"])
    nonce = sealed(answer["sealed"], carried)
    if not same(order.commitment, commitment(nonce, order.grant)):
        raise unproven("the kernel's command line promised another secret")
    pcrs = tpm.pcrs(PCRS)
    quoted, signed = tpm.quote(signer, qualifying(carried, order.grant), sorted(pcrs))
    values = {str(number): value.hex() for number, value in pcrs.items()}
    return Proven(nonce, {"key": _text(ak.raw), "quoted": _text(quoted), "signature": _text(signed), "pcrs": values})


def _read(answer: Any) -> dict[str, bytes]:
    """The three byte strings of the answer, whole."""
    try:
        found = {key: base64.b64decode(answer[key], validate=True) for key in ("credential", "secret", "sealed")}
        if len(found["sealed"]) != NONCE:
            raise ValueError("the sealed secret has another length")
        return found
    except (KeyError, TypeError, ValueError) as error:
        raise AgentError("the boot service answered the challenge with something else", why=repr(error)) from None


def _tell(ask: Ask, error: AgentError) -> None:
    """So that the deployer knows what to say. It believes nothing of it."""
    try:
        ask({"problem": f"{error.what}: {error.why}"})
    except AgentError:
        return  # it always refuses


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
