"""The program that is sent to a control plane: what it lacks it says, and it leaves nothing plain behind."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from dataclasses import replace

import pytest

from bmk.backup.collect import MemberRequest, program
from bmk.backup.on_node import BUSY, FAILED, REFUSED
from tests.services.backup.conftest import Member

pytestmark = pytest.mark.services


def _run(wish: MemberRequest) -> tuple[int, bytes, str]:
    argv = [sys.executable, "-I", "-B", "-"]
    done = subprocess.run(argv, input=program(wish), capture_output=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr.decode()


def test_what_it_lacks_it_says(member: Member) -> None:
    """A file that every control plane has, room, etcd: with the exit code that tells them apart, and no traceback."""
    good = member.request
    work = member.work.with_name("lacks")
    for change, code, text in (
        ({"root": "/nowhere"}, REFUSED, "pki/ca.crt"),
        ({"largest": 1000}, REFUSED, "dc.yml allows"),
        ({"etcdctl": [good.etcdctl[0], "--endpoints", "http://127.0.0.1:1", "--dial-timeout=1s"]}, FAILED, "etcdctl"),
        ({"etcdutl": "/bin/false"}, FAILED, "false"),
    ):
        got = _run(replace(good, work=str(work), **change))  # type: ignore[arg-type]
        assert (got[0], got[1]) == (code, b""), got[2]
        assert text in got[2]
        assert "Traceback" not in got[2]
        assert [path.name for path in work.iterdir()] == ["lock"]


def test_two_at_once_do_not_mix(member: Member) -> None:
    """The second is told, and what the first is at is not removed."""
    work = member.work.with_name("busy")
    work.mkdir()
    (work / "snapshot.db").write_bytes(b"of the first")
    with (work / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert _run(replace(member.request, work=str(work)))[0] == BUSY
    assert (work / "snapshot.db").exists()


def test_what_a_killed_one_left_is_removed(member: Member) -> None:
    """A snapshot in clear text does not stay for longer than until the next backup."""
    work = member.work.with_name("left")
    work.mkdir()
    (work / "snapshot.db").write_bytes(b"secrets")
    (work / "snapshot.db.part").write_bytes(b"secrets")
    assert _run(replace(member.request, work=str(work)))[0] == 0
    assert [path.name for path in work.iterdir()] == ["lock"]
