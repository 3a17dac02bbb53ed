"""How deployer and ramdisk are brought together: by a machine's BMC, where the secret of an attempt goes in before
power-on and out when it is installed, or by the TPM that a person accepted. A way that only leaves bytes in a BMC is
one line in BY_BMC; docs/attestation.md compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bmk.agent.proof import pack
from bmk.bmc.protocol import Bmc
from bmk.boot.grants import Grant
from bmk.boot.nonces import Nonces
from bmk.boot.tpm.accepted import accepted, seen
from bmk.engine.phase import Context
from bmk.errors import BmcError, PhaseFailed


@dataclass(frozen=True, slots=True)
class Way:
    """`deliver` leaves bytes in a BMC where the machine's own system can read them. Both may be repeated."""

    deliver: Callable[[Bmc, bytes], None]
    withdraw: Callable[[Bmc], None]


BY_BMC: Mapping[str, Way] = {
    "mailbox": Way(lambda bmc, data: bmc.write_mailbox(data), lambda bmc: bmc.write_mailbox(b"")),
    "media": Way(lambda bmc, data: bmc.insert_media(data), lambda bmc: bmc.eject_media()),
}


async def deliver(ctx: Context, bmc: Bmc, grant: Grant) -> None:
    """Before power-on; again after a kill, with the same secret. BmcError when the BMC cannot."""
    way = BY_BMC.get(grant.attest)
    if way is None:
        return
    nonce = Nonces.of(ctx.run.journal).made(grant.id)
    await ctx.call(way.deliver, bmc, pack(nonce))
    ctx.emit("attest.delivered", f"the BMC holds the secret of this attempt ({grant.attest})", grant=grant.id)


async def withdraw(ctx: Context, bmc: Bmc, grant: Grant) -> None:
    """After the installation. What stays is worth nothing without its grant: a BMC that balks is no failure."""
    way = BY_BMC.get(grant.attest)
    if way is None:
        return
    try:
        await ctx.call(way.withdraw, bmc)
    except BmcError as error:
        ctx.emit("attest.left", f"the spent secret could not be taken out of the BMC: {error.what}", "warning")


def unknown_tpm(ctx: Context, grant: Grant) -> PhaseFailed | None:
    """Why an attempt by way of TPM ended before anybody claimed it: a person has to accept a TPM first."""
    host, journal = ctx.host.name, ctx.run.journal
    shown = seen(journal, host)
    if grant.attest != "tpm" or accepted(journal, host) is not None or not shown:
        return None
    newest = shown[-1]
    return PhaseFailed(
        f"nobody accepted this machine's TPM yet: it has the endorsement key {newest.ek}",
        where=host,
        why=f"presented from {newest.client}, MAC {newest.mac or 'unknown'}",
        hint=f"bmk tpm accept {ctx.run.dc.name} {host}, then: bmk provision {ctx.run.dc.name}",
    )
