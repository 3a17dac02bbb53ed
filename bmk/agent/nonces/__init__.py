"""Where a ramdisk finds the secret that it shares with the deployer. A way by which a BMC hands it over is one module
with `read()`, and one line in READERS.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from bmk.agent.errors import AgentError
from bmk.agent.nonces import mailbox, media
from bmk.agent.proof import NONCE, unpack

# way -> what the BMC holds for this machine, within so many seconds; None: no such hardware, or nothing there
READERS: Mapping[str, Callable[[float], bytes | None]] = {"mailbox": mailbox.read, "media": media.read}
LATE = 10.0  # seconds that hardware may take to appear as long as no nonce was found
PATIENCE = 60.0  # the same of the way that the deployer says it took


def left(expected: str) -> dict[str, bytes]:
    """Way -> nonce, for every way by which this machine was left one. `expected` is waited for longer, no more."""
    found: dict[str, bytes] = {}
    for way, read in READERS.items():
        found |= opened({way: read(1.0 if found else LATE)})
    end = time.monotonic() + PATIENCE
    while expected in READERS and not found and time.monotonic() < end:
        found |= opened({expected: READERS[expected](LATE)})
        time.sleep(0 if found else 1)
    return found


def opened(held: Mapping[str, bytes | None]) -> dict[str, bytes]:
    """The nonces in what a BMC holds, by way."""
    return {way: nonce for way, data in held.items() if data and (nonce := unpack(data))}


def choose(found: Mapping[str, bytes], way: str) -> bytes | None:
    """The nonce to prove oneself with when the command line says `way`; None: it says that there is no proof.

    The command line came over the boot network. So a nonce that the BMC handed over counts whatever it says: nobody on
    that network can talk a machine out of asking for the proof.
    """
    if found:
        return found.get(way) or next(iter(found.values()))
    if way == "console":
        return os.urandom(NONCE)
    if way == "none":
        return None
    raise AgentError(
        f"no nonce was found by way of {way or 'any BMC'}, so the boot service cannot be told from a stranger",
        why="nothing is left in the BMC for this machine, or the ramdisk has no driver for what holds it",
        hint="bmk provision DC powers it on with one; docs/attestation.md says what each way needs",
        retry=True,
    )
