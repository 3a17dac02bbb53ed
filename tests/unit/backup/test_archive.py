"""The tar of a backup: what was put in comes out, and nothing else is let in."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.backup.archive import packed, unpack
from bmk.errors import BackupRefused

MOST = 1 << 20


def _any_name(_: str) -> int | None:
    return MOST


def _tar(*members: tarfile.TarInfo, shape: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=shape) as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return out.getvalue()


def _member(name: str, size: int = 10, **more: object) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.size = size
    for key, value in more.items():
        setattr(found, key, value)
    return found


def _reason(content: bytes, into: Path, most: Callable[[str], int | None] = _any_name) -> str:
    with pytest.raises(BackupRefused) as refusal:
        unpack(io.BytesIO(content).read, into, most)
    return refusal.value.reason


NAMES = st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8}){0,2}x", fullmatch=True)


@given(st.dictionaries(NAMES, st.binary(max_size=2000), max_size=5))
def test_what_goes_in_comes_out(tmp_path_factory: pytest.TempPathFactory, content: dict[str, bytes]) -> None:
    """Files of any size and content, in their order, with their digests; in pieces of any size."""
    source, into = tmp_path_factory.mktemp("in"), tmp_path_factory.mktemp("out")
    for name, value in content.items():
        (source / name).write_bytes(value)
    tar = io.BytesIO(b"".join(packed((name, source / name) for name in content)))
    found = unpack(lambda size: tar.read(min(size, 7)), into, _any_name)
    assert list(found) == list(content)
    assert {name: (into / name).read_bytes() for name in found} == content
    assert all(found[name].sha256 == hashlib.sha256(value).hexdigest() for name, value in content.items())


def test_tar_reads_it_too(tmp_path: Path) -> None:
    """A person without bmk opens a backup with age and tar."""
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "b.tar").write_bytes(b"".join(packed([("etcd/a", tmp_path / "a")])))
    done = subprocess.run(["tar", "-xOf", tmp_path / "b.tar", "etcd/a"], capture_output=True, check=True)
    assert done.stdout == b"content"


def test_python_writes_what_is_read(tmp_path: Path) -> None:
    """The program on the control plane uses tarfile."""
    assert list(unpack(io.BytesIO(_tar(_member("a"), _member("b", 0))).read, tmp_path, _any_name)) == ["a", "b"]


@pytest.mark.parametrize("cut", [0, 100, 512, 515, 1000, 1024])
def test_an_archive_that_ends_early_is_truncated(tmp_path: Path, cut: int) -> None:
    """Within a header, a content, the padding, and before the end mark."""
    assert _reason(_tar(_member("a"))[:cut], tmp_path) == "truncated"


@pytest.mark.parametrize(
    "content",
    [
        _tar(_member("a", 0, type=tarfile.SYMTYPE, linkname="/etc/shadow")),
        _tar(_member("a", 0, type=tarfile.DIRTYPE)),
        _tar(_member("a", 0, type=tarfile.CHRTYPE)),
        _tar(_member("x" * 200)),  # needs a header of another kind
        _tar(_member("ü" * 60), shape=tarfile.PAX_FORMAT),
        _tar(_member("a"), _member("a")),
        _tar(_member("a", MOST + 1)),
        b"\xff" * 2048,
        _tar(_member("a"))[:10] + b"b" + _tar(_member("a"))[11:],
    ],
    ids=["link", "directory", "device", "long", "pax", "twice", "large", "noise", "checksum"],
)
def test_what_is_no_plain_file_of_its_size_is_strange(tmp_path: Path, content: bytes) -> None:
    """Whoever sends it cannot make bmk follow a link, grow without end or read something twice."""
    assert _reason(content, tmp_path) == "strange"


def test_a_name_that_is_not_expected_is_not_written(tmp_path: Path) -> None:
    """Also one that leads out of the directory."""
    for name in ("other", "../out", "/etc/passwd"):
        assert _reason(_tar(_member(name)), tmp_path / "in", {"a": 10}.get) == "strange"
    assert list(tmp_path.iterdir()) == []
