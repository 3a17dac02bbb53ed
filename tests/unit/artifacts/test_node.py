"""Parts of the node image that need no Debian mirror: trees, identities, disks, ramdisks, sources."""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.artifacts.node import disk, sources, tree
from bmk.artifacts.node.cpio import File, write_cpio
from bmk.errors import BmkError, PreflightRefused

NAMES = st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}){0,2}", fullmatch=True)


def members(packed: bytes) -> dict[str, tuple[int, bytes]]:
    """Name -> mode and data, by the format's definition (cpio newc)."""
    found, at = {}, 0
    while True:
        assert packed[at : at + 6] == b"070701"
        fields = [int(packed[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        mode, size, length = fields[1], fields[6], fields[11]
        name = packed[at + 110 : at + 110 + length - 1].decode()
        start = at + 110 + length + (-(110 + length) % 4)
        if name == "TRAILER!!!":
            assert len(packed) == start
            return found
        found[name] = (mode, packed[start : start + size])
        at = start + size + (-size % 4)


@given(st.dictionaries(NAMES, st.binary(max_size=9), max_size=6))
def test_a_ramdisk_holds_what_was_put_in(files: dict[str, bytes]) -> None:
    """Each file with its bytes and each directory above it, whatever the lengths: padding is where it belongs."""
    files = {name: data for name, data in files.items() if not any(o.startswith(f"{name}/") for o in files)}
    out = io.BytesIO()
    write_cpio(out, {name: File(data, 0o600) for name, data in files.items()})
    found = members(out.getvalue())
    assert {name: data for name, (mode, data) in found.items() if mode == 0o100600} == files
    assert all(str(parent) in found for name in files for parent in Path(name).parents if str(parent) != ".")


def test_links_of_a_ramdisk_point_where_they_should() -> None:
    """A symbolic link is one for the kernel too."""
    out = io.BytesIO()
    write_cpio(out, {"bin": File(link="usr/bin")})
    assert members(out.getvalue())["bin"] == (0o120777, b"usr/bin")


def test_the_image_has_the_same_identity_in_every_build() -> None:
    """UUIDs that programs accept, and a FAT volume id; else two builds could not be compared."""
    identity = tree.ImageIdentity.derived()
    assert identity == tree.ImageIdentity.derived()
    assert str(uuid.UUID(identity.disk)) == identity.disk != identity.root == str(uuid.UUID(identity.root))
    assert re.fullmatch(r"[0-9A-F]{4}-[0-9A-F]{4}", identity.esp)


def test_a_tree_is_cached_by_what_decides_it() -> None:
    """Another suite is another tree; tools and node are different ones."""
    keys = [tree.node_key("trixie"), tree.node_key("forky"), tree.tools_key("trixie"), tree.tools_key("forky")]
    assert len(set(keys)) == 4
    assert tree.node_key("trixie") == keys[0]


def test_package_lists_hold_names_only() -> None:
    """Comments are not handed to apt."""
    for name in ("packages.txt", "tools.txt"):
        assert all(re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", package) for package in tree.packages(name))


def test_trees_of_earlier_recipes_are_removed(tmp_path: Path) -> None:
    """Only node trees, and none that is kept."""
    for name in ("node-a.tar", "node-b.tar", "tools-c.tar"):
        (tmp_path / name).touch()
    tree.discard_old(tmp_path, [tmp_path / "node-b.tar"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["node-b.tar", "tools-c.tar"]


def test_a_file_of_a_tree_is_read_from_its_tar(tmp_path: Path) -> None:
    """By the name that it has on a node."""
    with tarfile.open(tmp_path / "tree.tar", "w") as tar:
        info = tarfile.TarInfo("./etc/hostname")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"node"))
    assert tree.member(tmp_path / "tree.tar", "etc/hostname") == b"node"


def test_a_copy_into_a_disk_stays_sparse(tmp_path: Path) -> None:
    """Bytes are where they belong, and blocks of zeros take no space."""
    part, target = tmp_path / "part", tmp_path / "disk"
    part.write_bytes(bytes(8 * disk.MIB) + b"end")
    with target.open("wb") as file:
        file.truncate(16 * disk.MIB)
    disk._copy(part, target, disk.MIB)
    assert target.stat().st_size == 16 * disk.MIB
    assert target.stat().st_blocks * 512 < 2 * disk.MIB
    with target.open("rb") as file:
        file.seek(9 * disk.MIB)
        assert file.read(3) == b"end"


def test_a_disk_has_the_partitions_that_firmware_looks_for(tmp_path: Path) -> None:
    """sfdisk finds BIOS boot, ESP and root where the image writes them."""
    target = tmp_path / "disk"
    root = 32 * disk.MIB
    with target.open("wb") as file:
        file.truncate(disk.ROOT_START + root + disk.MIB)
    disk._partition(target, tree.ImageIdentity.derived(), root)
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    command = ["sfdisk", "--dump", str(target)]
    listed = subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, check=True).stdout
    starts = [int(found) for found in re.findall(r"start= *([0-9]+)", listed)]
    assert starts == [at // disk.SECTOR for at in (disk.BIOS_START, disk.ESP_START, disk.ROOT_START)]
    assert "C12A7328-F81F-11D2-BA4B-00A0C93EC93B" in listed


def test_a_program_that_fails_is_named(tmp_path: Path) -> None:
    """With its own last words."""
    with pytest.raises(BmkError, match="sfdisk failed"):
        disk._partition(tmp_path / "missing" / "disk", tree.ImageIdentity.derived(), disk.MIB)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sources.list", "deb [signed-by=/k.gpg] http://m.example.org/debian trixie main\n"),
        ("sources.list.d/debian.sources", "Types: deb\nURIs: http://m.example.org/debian\nSuites: trixie\n"),
    ],
)
def test_packages_come_from_where_apt_takes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    """Both formats of apt's sources; security updates lie beside."""
    monkeypatch.delenv("BMK_DEBIAN_MIRROR", raising=False)
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / name).write_text(text)
    found = sources.find_mirror(tmp_path)
    assert found == sources.DebianMirror("http://m.example.org/debian", "http://m.example.org/debian-security")
    assert [line.split()[3] for line in found.lines("trixie")] == ["trixie", "trixie-updates", "trixie-security"]


def test_no_mirror_is_an_error_with_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is not Debian has to be told where packages are."""
    monkeypatch.delenv("BMK_DEBIAN_MIRROR", raising=False)
    with pytest.raises(PreflightRefused, match="no Debian mirror") as error:
        sources.find_mirror(tmp_path)
    assert "BMK_DEBIAN_MIRROR" in error.value.hint
