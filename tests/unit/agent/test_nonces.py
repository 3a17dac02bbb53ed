"""Nonces that the BMC was given, as the ramdisk reads them: the honest one is found, anything else is nothing."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.agent import nonces
from bmk.agent.nonces import mailbox, media
from bmk.agent.proof import pack
from bmk.agent.sysfs import disks
from bmk.bmc import mailbox as written
from bmk.bmc.media_server import part_of
from bmk.bmc.nonce_volume import LARGEST_FILE, volume

DEVICE_ID = bytes([0x20, 1, 9, 8, 2, 0x9F, 0x91, 0x12, 0, 2, 0xF])
SECRET = bytes(range(1, 42))


@given(st.binary(min_size=1, max_size=LARGEST_FILE))
def test_a_volume_holds_what_was_put_on_it(data: bytes) -> None:
    """Deployer and ramdisk, which share no code, agree about every content."""
    assert media.file_of(volume(data)) == data


@given(st.binary(max_size=64), st.integers(0, 128 << 10), st.integers(0, 128 << 10))
def test_a_damaged_volume_is_no_error(garbage: bytes, at: int, length: int) -> None:
    """Whatever a medium holds, and wherever it ends: bytes or nothing, never an exception, never more than a file."""
    image = bytearray(volume(SECRET))
    image[at : at + len(garbage)] = garbage
    assert len(media.file_of(bytes(image[:length])) or b"") <= media.LARGEST_FILE


@given(st.binary(min_size=2048, max_size=2048), st.binary(min_size=34, max_size=34))
def test_a_hostile_directory_ends(listing: bytes, root: bytes) -> None:
    """A directory that points anywhere, or at itself, is walked once."""
    image = bytearray(volume(SECRET))
    image[20 * 2048 : 21 * 2048] = listing
    image[16 * 2048 + 156 : 16 * 2048 + 190] = root
    media.file_of(bytes(image))


class Machine:
    """Drives of a machine in directories: files instead of devices."""

    def __init__(self, root: Path) -> None:
        self.sys, self.dev = root / "sys/block", root / "dev"
        self.sys.mkdir(parents=True)
        self.dev.mkdir()

    def drive(self, name: str, content: bytes | None, *, removable: bool = True) -> Path:
        for path, text in (("removable", f"{int(removable)}\n"), ("size", f"{len(content or b'') // 512}\n")):
            (self.sys / name / "device").mkdir(parents=True, exist_ok=True)
            (self.sys / name / path).write_text(text)
        if content is not None:
            (self.dev / name).write_bytes(content)
        return self.dev / name

    def read(self) -> bytes | None:
        return media.read(0.0, self.sys, self.dev)


def test_the_labelled_medium_is_found_among_others(tmp_path: Path) -> None:
    """An optical drive or a stick with our label, beside a rescue system, an empty drive and a disk."""
    for name in ("sr0", "sdb"):
        machine = Machine(tmp_path / name)
        machine.drive(name, volume(SECRET))
        machine.drive("sr1", volume(SECRET).replace(b"BMK_NONCE", b"RESCUE_CD"))
        machine.drive("sr2", None)
        machine.drive("sda", bytes(1 << 20), removable=False)
        assert machine.read() == SECRET


def test_two_media_that_differ_are_no_proof(tmp_path: Path) -> None:
    """In doubt there is no nonce; the same one twice is no doubt."""
    machine = Machine(tmp_path)
    machine.drive("sr0", volume(SECRET))
    machine.drive("sdb", volume(SECRET))
    assert machine.read() == SECRET
    machine.drive("sdb", volume(b"another's"))
    assert machine.read() is None


def test_disks_links_pipes_and_large_media_are_not_read(tmp_path: Path) -> None:
    """A disk with our label, a link, a pipe that nobody fills, and a huge medium: nothing, at once."""
    machine = Machine(tmp_path)
    machine.drive("sda", volume(SECRET), removable=False)
    machine.drive("sr0", volume(SECRET) + bytes(media.LARGEST_VOLUME))
    machine.drive("sdb", None).symlink_to(machine.dev / "sda")
    os.mkfifo(machine.drive("sdc", None))
    assert machine.read() is None


def test_the_medium_is_never_a_disk_to_install_to(tmp_path: Path) -> None:
    """What carries the nonce is no candidate of any disk selector, as an optical drive or as a stick."""
    machine = Machine(tmp_path)
    machine.drive("sr0", volume(SECRET))
    machine.drive("sdb", volume(SECRET))
    machine.drive("vda", bytes(1 << 20), removable=False)
    assert [disk.name for disk in disks(tmp_path / "sys")] == ["vda"]


def test_there_is_nothing_to_wait_for_without_drives(tmp_path: Path) -> None:
    """A machine with neither drives nor USB is answered without waiting for them."""
    machine = Machine(tmp_path)
    assert media.read(3600.0, machine.sys, machine.dev) is None


@given(st.binary(max_size=77))
def test_the_mailbox_is_read_as_it_was_written(data: bytes) -> None:
    """Deployer and ramdisk agree: data after the maker's number, padded with zeros; nothing but zeros is nothing."""
    kept = written.image(DEVICE_ID, data)
    assert kept[:3] == DEVICE_ID[6:9]
    assert (mailbox.content(kept) or b"").rstrip(b"\0") == data.rstrip(b"\0")
    answers = b"".join(bytes([1, 7, n]) + kept[n * 16 : n * 16 + 16] for n in range(mailbox.BLOCKS))
    assert written.blocks_of(answers) == kept
    assert written.blocks_of(answers[:-1]) == written.blocks_of(answers[19:]) == b""


@given(st.binary(max_size=300), st.integers(0, 4))
def test_other_answers_of_a_bmc_are_no_mailbox(answer: bytes, number: int) -> None:
    """An error, another parameter, another block, too few bytes: no block, so no nonce."""
    right = answer.startswith(bytes([0, 1, 7, number])) and len(answer) >= 20
    assert (len(mailbox.block_of(answer, number)) == mailbox.BLOCK) is right
    assert mailbox.content(bytes(mailbox.SIZE - 1)) is None


@given(st.text(max_size=40) | st.from_regex(r"bytes=[0-9]{1,6}-[0-9]{0,6}", fullmatch=True), st.integers(1, 10**6))
def test_a_part_lies_inside_of_the_whole(asked: str, size: int) -> None:
    """Whatever range a BMC asks for, what it gets begins and ends inside of the medium."""
    first, end, whole = part_of(asked, size)
    assert 0 <= first < end <= size
    assert not whole or (first, end) == (0, size)


def test_what_the_deployer_took_may_be_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drive that its hub shows after half a minute is waited for when the command line names its way, else not."""
    answers: list[bytes | None] = [None, None, None, pack(bytes(range(32)))]
    monkeypatch.setattr(nonces, "READERS", {"media": lambda _: answers.pop(0)})
    monkeypatch.setattr("bmk.agent.nonces.time.sleep", lambda _: None)
    assert nonces.left("none") == {}
    assert nonces.left("media") == {"media": bytes(range(32))}
    assert not answers


def test_what_never_comes_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose BMC holds nothing is told so after a minute, and refused."""
    clock = itertools.count(0.0, nonces.PATIENCE / 2)
    asked: list[float] = []
    monkeypatch.setattr(nonces, "READERS", {"media": asked.append})
    monkeypatch.setattr("bmk.agent.nonces.time.sleep", lambda _: None)
    monkeypatch.setattr("bmk.agent.nonces.time.monotonic", lambda: next(clock))
    assert nonces.left("media") == {}
    assert len(asked) == 2
