"""What the agent needs of a machine: real ones, containers' directories and simulated machines answer alike."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from bmk.agent.model import BootOrder, Disk, ImageSource, InstallSpec, MachineFacts, Written
from bmk.agent.tpm.commands import Exchange

Tell = Callable[[dict[str, Any]], None]  # takes what Progress reports


class Hardware(Protocol):
    """Every method raises AgentError with what, why and hint."""

    def facts(self) -> MachineFacts:
        """Who the machine is and what its disks hold. Changes nothing."""

    def nonces(self, expected: str) -> dict[str, bytes]:
        """Way -> secret that the deployer left in the machine's BMC. What cannot be read is not there: no failure.

        `expected` is the way that the command line names, whose hardware may be late.
        """

    def tpm(self) -> AbstractContextManager[Exchange]:
        """The machine's TPM 2.0, for as long as the context lasts."""

    def open_for_a_look(self, spec: InstallSpec) -> None:
        """Let the deployer's key log in while the agent works and after it failed."""

    def write(self, disk: Disk, image: ImageSource, tell: Tell) -> Written:
        """Put the image onto the disk and read it back. Until it is proven the disk must not boot."""

    def configure(self, disk: Disk, spec: InstallSpec) -> list[str]:
        """Make the written system this host; returns the public host keys it made there, as openssh lines."""

    def boot_from(self, disk: Disk) -> BootOrder:
        """Have the firmware prefer the disk. A firmware that will not is no error as long as the disk boots without."""

    def restart(self, disk: Disk, how: str) -> None:
        """Leave for the installed system: `reboot` or `kexec`. Returns only if it could not."""

    def say(self, text: str) -> None:
        """One line to whoever watches the machine's console. It has `bmk: ` before it and stays one line."""


def one_line(text: str) -> str:
    """As `say` writes it. A stranger on the network chose parts of it: nothing in it may begin a line of its own, which
    the deployer might read as this machine's.
    """
    plain = "".join(c if c.isprintable() else "?" for c in text)
    return f"\r\nbmk: {plain}\r\n"
