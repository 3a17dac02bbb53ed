"""`bmk artifacts` as typed: killed and continued, two at once, damaged and repaired."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bmk.artifacts.content import sha256_bytes
from bmk.artifacts.mirror import Mirror, open_mirror

from .conftest import TOOL, WriteLock

pytestmark = pytest.mark.services
BMK = [sys.executable, "-c", "import sys; from bmk.cli import main; sys.exit(main())"]


def bmk(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*BMK, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    directory = tmp_path / "files"
    directory.mkdir()
    (directory / "tool").write_bytes(TOOL)
    return directory


def test_damage_is_named_with_exit_6_and_repaired_by_the_next_sync(
    mirror: Mirror, place: Path, write_lock: WriteLock
) -> None:
    """verify names the file; sync makes it good; verify is content."""
    lock = write_lock(sha256=sha256_bytes(TOOL))
    tool = mirror.file("tool").local
    stat = tool.stat()
    tool.write_bytes(TOOL[:-1] + b"X")
    os.utime(tool, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as a bad disk would: nothing but a byte is different
    damaged = bmk("artifacts", "verify", "--lock", lock)
    assert damaged.returncode == 6
    assert "file tool" in damaged.stderr
    assert str(tool) in damaged.stderr
    assert "Traceback" not in damaged.stderr
    repaired = bmk("artifacts", "sync", "--lock", lock, "--no-upstream", "--no-build", "--from", place)
    assert repaired.returncode == 0, repaired.stderr
    assert bmk("artifacts", "verify", "--lock", lock).returncode == 0


def test_verify_of_an_empty_mirror_fails(cache: Path, write_lock: WriteLock) -> None:
    """An empty mirror is not verified: exit 6 names what the lock pins and nobody has made."""
    missing = bmk("artifacts", "verify", "--lock", write_lock(sha256=sha256_bytes(TOOL)))
    assert missing.returncode == 6
    assert "missing: tool, tool" in missing.stderr


def test_list_prints_data_on_stdout_only(mirror: Mirror) -> None:
    """`-o name` gives one name a line, for scripts."""
    listed = bmk("artifacts", "list", "-o", "name")
    assert listed.stdout.splitlines() == ["tool", "tool"]
    assert listed.stderr == ""


def test_a_sync_that_was_killed_is_continued(place: Path, write_lock: WriteLock, cache: Path) -> None:
    """SIGKILL in the middle leaves nothing that the next run trips over; what is there afterwards is whole."""
    lock = write_lock(sha256=sha256_bytes(TOOL))
    command = [*BMK, "artifacts", "sync", "--lock", str(lock), "--no-upstream", "--no-build", "--from", str(place)]
    for wait_for in ("build/lock", "build/step-*", "mirror/artifacts.resolved.yml"):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not list(cache.glob(wait_for)) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 0, finished.stderr
    assert [problem for _, problem in open_mirror().verify()] == [None, None]
    assert not list(cache.rglob("step-*"))


def test_two_at_once_do_the_work_once(place: Path, write_lock: WriteLock) -> None:
    """The second waits, finds the work done and ends well."""
    lock = write_lock(sha256=sha256_bytes(TOOL))
    command = [*BMK, "artifacts", "sync", "--lock", str(lock), "--no-upstream", "--no-build", "--from", str(place)]
    pair = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ended = [(process.communicate(timeout=60)[1], process.returncode) for process in pair]
    assert [status for _, status in ended] == [0, 0], ended
    assert sum("[1/2]" in said for said, _ in ended) == 1, ended


def test_a_bundle_goes_to_another_machine(
    mirror: Mirror, write_lock: WriteLock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bundle prints a digest; sync --from with that digest and without network brings everything up."""
    lock = write_lock(sha256=sha256_bytes(TOOL))
    made = bmk("artifacts", "bundle", "--lock", lock, tmp_path / "all.tar")
    assert made.returncode == 0, made.stderr
    monkeypatch.setenv("BMK_CACHE_DIR", str(tmp_path / "there"))
    arguments = [
        "--lock",
        lock,
        "--no-upstream",
        "--no-build",
        "--from",
        tmp_path / "all.tar",
        "--sha256",
        made.stdout.strip(),
    ]
    taken = bmk("artifacts", "sync", *arguments)
    assert taken.returncode == 0, taken.stderr
    assert bmk("artifacts", "verify", "--lock", lock).returncode == 0
    assert not list((tmp_path / "there/build").glob("bundle-*"))
