"""The cable of a system container, in a network namespace of the test."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.services
PROGRAM = """
import asyncio, subprocess
from bmk.lab.host.network import apply, unplug, veth_lines
from bmk.lab.machines.hardware import Port

port = Port(mac="52:54:00:00:00:01", bridge="br0", tap="t0", mtu=1500)
with subprocess.Popen(["unshare", "--net", "sleep", "60"]) as container:
    async def start():
        await unplug(port)
        await apply(veth_lines(port, 0, container.pid))

    async def twice():
        await apply(["link add br0 type bridge"])
        await start()  # there was none
        await start()  # that of the container before, which the kernel has not removed yet
    try:
        asyncio.run(twice())
    finally:
        container.kill()
print("plugged")
"""


def test_a_container_starts_while_the_cable_of_the_one_before_is_there() -> None:
    """Off and on again within a moment: the kernel deletes the old one when it comes to it."""
    command = ["unshare", "--net", "--map-root-user", sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "plugged\n", done.stderr
