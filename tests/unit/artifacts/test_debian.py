"""Debian packages in images: only what runs is kept, with the mode that it needs and no more."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from bmk.artifacts import debian
from bmk.errors import BmkError


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A tar as mmdebstrap makes it: programs, a library, a link, documentation, a changelog."""
    path = tmp_path / debian.ARCHIVE
    changelog = gzip.compress(b"nftables (1.1.3-1) unstable; urgency=medium\n")
    files = {
        "usr/sbin/nft": (0o4755, b"nft"),
        "usr/sbin/other": (0o755, b"other"),
        "usr/lib/x86_64-linux-gnu/libnft.so.1": (0o644, b"library"),
        "usr/lib/x86_64-linux-gnu/gconv/UTF-16.so": (0o644, b"character set"),
        "usr/share/doc/nftables/changelog.Debian.gz": (0o644, changelog),
    }
    with tarfile.open(path, "w") as tar:
        for name, (mode, data) in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size, info.mode = len(data), mode
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("./usr/lib/x86_64-linux-gnu/libnft.so")
        link.type, link.linkname = tarfile.SYMTYPE, "libnft.so.1"
        tar.addfile(link)
    return path


def test_only_what_runs_is_kept(archive: Path, tmp_path: Path) -> None:
    """Programs of the list, libraries and links: no documentation, no other program, no setuid bit."""
    found = {entry.path: entry for entry in debian.entries(archive, tmp_path, {})}
    assert set(found) == {
        "/usr/sbin/nft", "/usr/lib/x86_64-linux-gnu/libnft.so.1", "/usr/lib/x86_64-linux-gnu/libnft.so",
    }  # fmt: skip
    nft = found["/usr/sbin/nft"]
    assert nft.mode == 0o755
    assert nft.source is not None
    assert nft.source.read_bytes() == b"nft"


def test_single_files_can_be_named(archive: Path, tmp_path: Path) -> None:
    """With a list of files these alone are taken, under their new names; a missing or odd one is an error."""
    (only,) = debian.entries(archive, tmp_path, {"/bin/nft": "usr/sbin/nft"})
    assert only.path == "/bin/nft"
    with pytest.raises(KeyError):
        debian.entries(archive, tmp_path, {"/bin/x": "usr/sbin/x"})


def test_a_directory_is_no_program(tmp_path: Path) -> None:
    """What is named has to be a file: the error says which member is not."""
    with tarfile.open(tmp_path / "directory.tar", "w") as tar:
        info = tarfile.TarInfo("./usr")
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    with pytest.raises(BmkError, match="usr is not a file"):
        debian.entries(tmp_path / "directory.tar", tmp_path, {"/bin/d": "usr"})


def test_source_packages_come_from_changelogs(archive: Path) -> None:
    """Unpacked packages leave no other record of their version."""
    assert debian.unpacked_packages(archive) == ["nftables=1.1.3-1"]
