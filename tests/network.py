"""A network namespace of a test's own."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_NEW_NETWORK = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


@contextmanager
def own(*commands: str) -> Iterator[None]:
    """For this thread and what it starts: a network with a loopback, and what these commands of `ip` add."""
    before = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        if _LIBC.unshare(_NEW_NETWORK) != 0:
            pytest.skip("needs CAP_SYS_ADMIN to make a network namespace")
        try:
            for command in ("link set lo up", *commands):
                subprocess.run(["ip", *command.split()], check=True)
            yield
        finally:
            assert _LIBC.setns(before, _NEW_NETWORK) == 0
    finally:
        os.close(before)
