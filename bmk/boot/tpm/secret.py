"""What the deployer derives of a grant's secret where a TPM carries it. Pure.

Two secrets, of which neither tells the other: the nonce, which the kernel's command line commits to before anybody has
it, and what a credential carries, which is another one for each signing key.
"""

from __future__ import annotations

import hmac


def nonce(root: bytes) -> bytes:
    """What deployer and ramdisk prove themselves with."""
    return hmac.digest(root, b"bmk nonce of a grant", "sha256")


def carried(root: bytes, name: bytes) -> bytes:
    """What the credential of the signing key called `name` carries."""
    return hmac.digest(root, b"bmk credential\0" + name, "sha256")
