"""What a control plane says over ssh, read while it comes: whole, bounded in time and size."""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bmk.errors import Unreachable
from bmk.ssh import Target, WrongKey, files_of, streamed
from tests.services.backup import places

pytestmark = pytest.mark.services
PYTHON = (sys.executable, "-I", "-B", "-")


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Target]:
    with places.ssh(tmp_path) as place:
        host, _, port = place.spec["ssh"]["host"].partition(":")
        key = (place.spec["ssh"]["host_key"],)
        yield Target(host, tmp_path / "user", key, user=getpass.getuser(), port=int(port))


def _all(door: Target, program: str, *, most: int = 64 << 20, seconds: float = 60.0) -> tuple[bytes, int, str]:
    with streamed(door, PYTHON, send=program.encode(), seconds=seconds, most=most) as said:
        content = b"".join(iter(lambda: said.read(100_000), b""))
        return content, *said.finish()


def test_all_of_it_comes_with_its_end(door: Target) -> None:
    """Every byte, also when it says as much on stderr; and how it ended."""
    loop = "for n in range(20): sys.stdout.buffer.write(bytes([n]) * 1_000_000); sys.stderr.write('e' * 100_000)"
    content, code, said = _all(door, f"import sys\n{loop}\nsys.stderr.write('last')\nsys.exit(9)")
    assert content == b"".join(bytes([n]) * 1_000_000 for n in range(20))
    assert code == 9
    assert said.endswith("last")
    assert len(said) <= 1 << 16


def test_who_says_too_much_is_cut_off(door: Target) -> None:
    """A control plane that was taken over does not fill the memory of the deployer."""
    with pytest.raises(Unreachable, match="says too much"):
        _all(door, "import sys\nwhile True: sys.stdout.write('x' * 65536)", most=1 << 20)


@pytest.mark.parametrize("program", ["import time\ntime.sleep(600)", "import os, time\nos.close(1)\ntime.sleep(600)"])
def test_who_does_not_end_is_not_waited_for(door: Target, program: str) -> None:
    """Neither for what it says nor for its end."""
    began = time.monotonic()
    with pytest.raises(Unreachable, match="in time"):
        _all(door, program, seconds=3.0)
    assert time.monotonic() - began < 60


def test_another_host_key_is_refused(door: Target, tmp_path: Path) -> None:
    """At a port of its own, too: what is pinned is pinned for that port."""
    other = " ".join((tmp_path / "user.pub").read_text().split()[:2])
    stranger = Target(door.address, door.identity, (other,), user=door.user, port=door.port)
    with pytest.raises(WrongKey), files_of(stranger):
        pass
