"""Tars: the same content gives the same bytes, wherever and whenever it is packed."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bmk.artifacts.content import sha256_file
from bmk.artifacts.tar import CAP_NET_BIND_SERVICE, TarEntry, plain_tar, write_tar

names = st.from_regex(r"/[a-z]{1,5}(/[a-z]{1,5}){0,3}", fullmatch=True)


@given(st.dictionaries(names, st.binary(max_size=200), min_size=1, max_size=8), st.randoms())
def test_bytes_do_not_depend_on_the_order_of_entries(tmp_path_factory, content, random) -> None:
    """Shuffled entries give the same tar, so digests name content and not chance."""
    entries = [TarEntry(f"{path}.f", data=data, mode=0o644) for path, data in content.items()]
    shuffled = random.sample(entries, len(entries))
    directory = tmp_path_factory.mktemp("tar")
    write_tar(directory / "a.tar", entries)
    write_tar(directory / "b.tar", shuffled)
    assert (directory / "a.tar").read_bytes() == (directory / "b.tar").read_bytes()


def test_bytes_do_not_depend_on_times_owners_or_modes_of_sources(tmp_path: Path) -> None:
    """A program built yesterday by somebody else packs to the same bytes."""
    digests = set()
    for n, mode in enumerate((0o600, 0o755)):
        source = tmp_path / f"program{n}"
        source.write_bytes(b"program")
        source.chmod(mode)
        os.utime(source, (n * 1000, n * 1000))
        plain_tar(tmp_path / f"{n}.tar", {"program": source})
        digests.add(sha256_file(tmp_path / f"{n}.tar"))
    assert len(digests) == 1


def test_directories_above_entries_are_added_once_and_before_them(tmp_path: Path) -> None:
    """Unpackers that do not make parents find them in the tar, in order."""
    write_tar(
        tmp_path / "t.tar", [TarEntry("/a/b/c", data=b"x"), TarEntry("/a/b/d", link="c"), TarEntry("/tmp", mode=0o1777)]
    )
    with tarfile.open(tmp_path / "t.tar") as tar:
        members = {m.name: m for m in tar.getmembers()}
    assert list(members) == ["a", "a/b", "a/b/c", "a/b/d", "tmp"]
    assert members["tmp"].mode == 0o1777
    assert members["a/b/d"].linkname == "c"


def test_a_file_capability_travels_in_the_tar(tmp_path: Path) -> None:
    """CoreDNS binds port 53 as an ordinary user by the capability in its layer."""
    write_tar(tmp_path / "t.tar", [TarEntry("/coredns", data=b"x", capability=CAP_NET_BIND_SERVICE)])
    with tarfile.open(tmp_path / "t.tar") as tar:
        value = tar.getmember("coredns").pax_headers["SCHILY.xattr.security.capability"]
    assert value.encode("utf-8", "surrogateescape") == CAP_NET_BIND_SERVICE
