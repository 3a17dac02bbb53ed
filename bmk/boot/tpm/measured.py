"""How a machine was booted, as its TPM signed it: checked when it claims its grant, and kept as evidence.

No values are required: firmware, its settings and each kernel of ours change them.
"""

from __future__ import annotations

from bmk.agent.nonces.tpm import qualifying
from bmk.agent.tpm.wire import Quote
from bmk.boot.grants import Grant
from bmk.boot.request_models import Evidence
from bmk.boot.tpm import secret
from bmk.boot.tpm.accepted import accepted
from bmk.boot.tpm.credential import check_quote
from bmk.errors import PreflightRefused
from bmk.journal import Event, Journal

RECORD = "measured"  # of a host: {ek, pcrs: {number: hex}, resets, firmware, grant, at}


def check(evidence: Evidence | None, root: bytes | None, grant: Grant) -> None:
    """Raises PreflightRefused for a claim whose quote is not of the TPM that answered the challenge."""
    try:
        if evidence is None or root is None:
            raise ValueError("there is none")
        about = qualifying(secret.carried(root, evidence.key.name), grant.id)
        values = {number: bytes.fromhex(value) for number, value in evidence.pcrs.items()}
        check_quote(evidence.key, evidence.quoted, evidence.signature, about, values)
    except ValueError as error:
        hint = "boot the install ramdisk of this version of bmk; if that is what ran, its TPM or its memory is at fault"
        raise PreflightRefused(f"the quote of its TPM is not good: {error}", where=grant.host, hint=hint) from None


def remember(journal: Journal, grant: Grant, evidence: Evidence | None, now: float) -> None:
    """Record the checked values, and journal what differs from the last installation."""
    if evidence is None:
        return
    quote, values = Quote.read(evidence.quoted), {str(number): value for number, value in sorted(evidence.pcrs.items())}
    before = (journal.facts(grant.host).get(RECORD) or {}).get("pcrs")
    counters = {"resets": quote.resets, "firmware": f"{quote.firmware:016x}"}
    found = {"ek": accepted(journal, grant.host), "pcrs": values, **counters, "grant": grant.id, "at": now}
    journal.record(grant.host, RECORD, found)
    text = f"its TPM signed how it was booted: {changes(before, values)}"
    journal.append(Event("http", "tpm.quoted", text, host=grant.host, data=found, at=now))


def changes(before: dict[str, str] | None, now: dict[str, str]) -> str:
    """In words."""
    if not now:
        return "it keeps no SHA-256 registers"
    if before is None:
        return f"PCRs {', '.join(now)}, for the first time"
    other = [number for number in {**before, **now} if before.get(number) != now.get(number)]
    return f"PCRs {', '.join(sorted(other, key=int))} are others than the last time" if other else "as the last time"
