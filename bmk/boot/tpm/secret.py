"""What the deployer derives of a grant's secret where a TPM carries it. Pure.

Two secrets, of which neither reveals the other: the nonce, to which the kernel's command line commits, and the secret
of a credential, which differs for each signing key.
"""

from __future__ import annotations

import hmac


def nonce(root: bytes) -> bytes:
    """The nonce by which deployer and ramdisk authenticate."""
    return hmac.digest(root, b"bmk nonce of a grant", "sha256")


def carried(root: bytes, name: bytes) -> bytes:
    """What the credential of the signing key called `name` carries."""
    return hmac.digest(root, b"bmk credential\0" + name, "sha256")
