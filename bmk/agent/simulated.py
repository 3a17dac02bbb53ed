"""A machine that is only a set of facts: it asks the boot service everything and writes nothing."""

from __future__ import annotations

import base64
import os
import struct
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType

from bmk.agent.hardware import Tell
from bmk.agent.model import BootOrder, Disk, ImageSource, InstallSpec, MachineFacts, Written
from bmk.agent.tpm.commands import Exchange, missing


class SimulatedHardware:
    """Implements `Hardware` without hardware; `restarts` counts how often it would have rebooted."""

    def __init__(self, facts: MachineFacts, nonces: Mapping[str, bytes] = MappingProxyType({})) -> None:
        self._facts, self._nonces = facts, nonces
        self.restarts = 0

    def facts(self) -> MachineFacts:
        return self._facts

    def nonces(self, expected: str) -> dict[str, bytes]:
        return dict(self._nonces)

    def tpm(self) -> AbstractContextManager[Exchange]:
        raise missing("it is only a set of facts")

    def open_for_a_look(self, spec: InstallSpec) -> None:
        """There is nothing to look at."""

    def write(self, disk: Disk, image: ImageSource, tell: Tell) -> Written:
        tell({"stage": "image", "bytes": image.size or 0, "total": image.size, "mb_per_s": 0.0, "seconds_left": 0})
        return Written(image.sha256, image.raw_sha256, image.size or 0)

    def configure(self, disk: Disk, spec: InstallSpec) -> list[str]:
        kind = b"ssh-ed25519"
        blob = struct.pack(">I", len(kind)) + kind + struct.pack(">I", 32) + os.urandom(32)
        return [f"ssh-ed25519 {base64.b64encode(blob).decode()} {spec.hostname}"]

    def boot_from(self, disk: Disk) -> BootOrder:
        return BootOrder()

    def restart(self, disk: Disk, how: str) -> None:
        self.restarts += 1

    def say(self, text: str) -> None:
        """Nobody listens."""
