"""The self-signed certificate of the lab's BMCs, like the factory default of real ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bmk.secrets import certificate


def authority(state: Path) -> Path:
    """File of the BMCs' self-signed certificate in the state directory."""
    return state / "lab" / "bmc.pem"


def self_signed(path: Path, addresses: Sequence[str]) -> Path:
    """Write key and certificate for these addresses into one PEM file (0600), replacing what is there."""
    return certificate.self_signed(path, "bmk lab BMC", addresses)
