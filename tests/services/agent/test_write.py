"""Images onto disks over real HTTP, through real zstd and sfdisk, with everything that goes wrong on the way."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bmk.agent import AgentError
from bmk.agent.fetch import Download
from bmk.agent.model import Disk, ImageSource
from bmk.agent.partitions import MARKER
from bmk.agent.stream import write_image
from bmk.artifacts.node_image import compress_image
from tests.services.agent.boot_server import BootServer, spec_for

pytestmark = pytest.mark.services
MIB = 1 << 20
RAW = 9 * MIB
DISK = 32 * MIB


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small "whole disk": a partition table, and bytes that do not compress to nothing."""
    path = tmp_path_factory.mktemp("raw") / "disk.raw"
    random.seed(7)
    path.write_bytes(bytes(2 * MIB) + random.randbytes(6 * MIB) + bytes(MIB))
    script = "label: gpt\nstart=4096, size=8192, name=bmk-root\n"
    subprocess.run(["sfdisk", "--quiet", path], input=script, text=True, check=True)
    return path


@pytest.fixture
def image(raw: Path, tmp_path: Path) -> Path:
    target = tmp_path / "image.zst"
    compress_image(raw, target)
    return target


@pytest.fixture
def server(image: Path) -> Iterator[BootServer]:
    running = BootServer(image, {})
    yield running
    running.close()


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A disk with an old system on it: boot code, and noise up to its end."""
    path = tmp_path / "disk"
    path.write_bytes(b"\xeb\x63\x90" + os.urandom(DISK - 3))
    return path


def granted(server: BootServer) -> ImageSource:
    said = spec_for(server.image, server.url())["image"]
    return ImageSource(said["url"], said["sha256"], said["size"])


def write(server: BootServer, disk: Path, image: ImageSource | None = None, sector: int = 512) -> Any:
    wanted = image or granted(server)
    return write_image(as_disk(disk, sector=sector), wanted, lambda _: None, Download(wanted, pause=lambda _: None))


def as_disk(path: Path, size: int = DISK, sector: int = 512) -> Disk:
    return Disk(path.name, str(path), size, sector=sector)


def partitions(disk: Path) -> str:
    return subprocess.run(["sfdisk", "--dump", disk], capture_output=True, text=True, check=False).stdout


def assert_boots_nothing(disk: Path) -> None:
    """No boot code, and one partition of ours that no firmware knows."""
    assert disk.read_bytes()[:440] == bytes(440)
    assert MARKER in partitions(disk)
    assert "C12A7328" not in partitions(disk).upper()


def test_the_disk_is_the_image_and_the_proof_says_so(server: BootServer, disk: Path, raw: Path) -> None:
    """Byte for byte, with the digests of what came and of what was read back."""
    proof = write(server, disk)
    assert disk.read_bytes()[:RAW] == raw.read_bytes()
    assert proof.size == RAW
    assert proof.image_sha256 == granted(server).sha256
    assert "bmk-root" in partitions(disk)


def test_a_disk_with_larger_sectors_gets_a_table_of_its_own(server: BootServer, disk: Path, raw: Path) -> None:
    """Everything behind the table is the image, byte for byte; the table says the same in sectors of 4096 bytes."""
    write(server, disk, sector=4096)
    assert disk.read_bytes()[MIB:RAW] == raw.read_bytes()[MIB:]
    command = ["fdisk", "-b", "4096", "-o", "Start,End,Name", "-l", disk]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.search(r"^ *512 +1535 bmk-root$", said, re.MULTILINE)


def test_broken_connections_are_resumed(server: BootServer, disk: Path, raw: Path) -> None:
    """A boot server that closes the connection again and again costs time only."""
    server.cut_after = [1, 100_000, 0, 3 * MIB]
    write(server, disk)
    assert disk.read_bytes()[:RAW] == raw.read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_server_that_dies_leaves_a_disk_that_boots_nothing(server: BootServer, disk: Path, share: float) -> None:
    """At any byte: the error says how far it came and that another attempt may go well; the next attempt does."""
    server.dead_after = int(server.image.stat().st_size * share)
    with pytest.raises(AgentError, match=f"the image stopped after {server.dead_after} bytes") as stopped:
        write(server, disk)
    assert stopped.value.retry
    if server.dead_after:
        assert_boots_nothing(disk)
    server.dead_after = None
    write(server, disk)
    assert "bmk-root" in partitions(disk)


@pytest.mark.parametrize("share", [0.0, 0.00001, 0.3, 0.7, 0.99999])
def test_a_flipped_byte_is_found_and_nothing_boots(server: BootServer, disk: Path, share: float) -> None:
    """The granted digest decides, wherever the byte is; the disk is left unbootable, or was never touched."""
    wanted = granted(server)
    data = bytearray(server.image.read_bytes())
    data[int((len(data) - 1) * share)] ^= 0x10
    server.image.write_bytes(data)
    before = disk.read_bytes()
    with pytest.raises(AgentError):
        write(server, disk, wanted)
    if disk.read_bytes() != before:
        assert_boots_nothing(disk)


def test_a_flipped_byte_is_named_by_digest(server: BootServer, disk: Path) -> None:
    """Also when zstd stumbles over it first, the report tells both digests."""
    wanted = granted(server)
    data = bytearray(server.image.read_bytes())
    data[len(data) // 2] ^= 1
    server.image.write_bytes(data)
    with pytest.raises(AgentError, match="not the one that was granted, byte for byte") as found:
        write(server, disk, wanted)
    assert wanted.sha256 in found.value.why


def test_a_truncated_image_is_refused_by_its_length(server: BootServer, disk: Path) -> None:
    """A file that the mirror holds only in part never starts to be written."""
    wanted, before = granted(server), disk.read_bytes()
    server.image.write_bytes(server.image.read_bytes()[:-1])
    with pytest.raises(AgentError, match="not as long as the granted one"):
        write(server, disk, wanted)
    assert disk.read_bytes() == before


def test_a_disk_that_is_too_small_is_not_touched(server: BootServer, disk: Path) -> None:
    """The image says how large it is before the first byte is written."""
    before = disk.read_bytes()
    with pytest.raises(AgentError, match="too small"):
        write_image(as_disk(disk, RAW - 1), granted(server), lambda _: None)
    assert disk.read_bytes() == before


def test_an_image_without_our_frame_is_not_written(server: BootServer, disk: Path, raw: Path) -> None:
    """What does not say how it must look cannot be proven, so it is refused before the disk is touched."""
    subprocess.run(["zstd", "-q", "-f", raw, "-o", server.image], check=True)
    before = disk.read_bytes()
    with pytest.raises(AgentError, match="does not say what it must look like"):
        write(server, disk)
    assert disk.read_bytes() == before


def test_a_full_disk_is_an_explained_failure(server: BootServer, tmp_path: Path) -> None:
    """Errors of the medium carry the medium's own words."""
    if os.geteuid() != 0 or not Path("/dev/full").exists():
        pytest.skip("needs /dev/full and root")
    with pytest.raises(AgentError, match="cannot be written"):
        write_image(as_disk(Path("/dev/full")), granted(server), lambda _: None)


def test_killed_at_any_moment_the_next_attempt_starts_clean(server: BootServer, disk: Path, raw: Path) -> None:
    """A power cut in the middle of the write: what is there boots nothing, and the same write again succeeds."""
    wanted = granted(server)
    server.dead_after = wanted.size // 2 if wanted.size else 0  # so that the process is surely in the middle
    code = (
        "import sys; from bmk.agent.model import Disk, ImageSource;"
        "from bmk.agent.stream import write_image;"
        "write_image(Disk('d', sys.argv[1], int(sys.argv[2])), ImageSource(sys.argv[3], sys.argv[4]), lambda t: None)"
    )
    arguments = [str(disk), str(DISK), wanted.url, wanted.sha256]
    with subprocess.Popen([sys.executable, "-c", code, *arguments], start_new_session=True) as victim:
        assert server.starving.wait(60)
        os.killpg(victim.pid, signal.SIGKILL)
    assert_boots_nothing(disk)
    server.dead_after = None
    write(server, disk)
    assert disk.read_bytes()[:RAW] == raw.read_bytes()
