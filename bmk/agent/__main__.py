"""In the install ramdisk: find out from the kernel's command line who to ask, and install."""

from __future__ import annotations

import sys
from pathlib import Path

from bmk.agent.errors import AgentError
from bmk.agent.flow import install
from bmk.agent.linux import LinuxHardware
from bmk.agent.model import Order


def asked(command_line: str) -> Order:
    """What the command line asks for. AgentError when it names no boot service or no grant."""
    words = dict(word.partition("=")[::2] for word in command_line.split())
    if not words.get("bmk.url") or not words.get("bmk.grant"):
        raise AgentError(
            "the kernel's command line names no grant",
            hint="only bmk provision DC boots this ramdisk: run it on the deployer",
        )
    return Order(words["bmk.url"], words["bmk.grant"], words.get("bmk.attest", ""), words.get("bmk.nonce", ""))


def main() -> None:
    """Install; exit 1 when that failed (everybody was told by then)."""
    hardware = LinuxHardware()
    try:
        order = asked(Path("/proc/cmdline").read_text(errors="replace"))
    except AgentError as error:
        hardware.say(f"FAILED: {error.what}; {error.hint}")
        sys.exit(1)
    try:
        install(order, hardware)
    except AgentError:
        sys.exit(1)


if __name__ == "__main__":
    main()
