"""Operating systems in the mirror: made once for the same inputs, carried by bundles, made again when asked."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from bmk.artifacts import build, systems
from bmk.artifacts.build import bring_up, bring_up_systems, ensure_mirror
from bmk.artifacts.bundle import opened, write_bundle
from bmk.artifacts.lock import Lock, load_lock
from bmk.artifacts.ramdisk import pack_agent
from bmk.artifacts.sources import Directory
from bmk.artifacts.systems import SYSTEMS, System

from .conftest import LOCK


class Maker:
    """Makes two small files, and other ones each time."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, out: Path, suite: str, say: systems.Say) -> tuple[str, Mapping[str, Path]]:
        self.made += 1
        (out / "disk.zst").write_text(f"disk {suite} {self.made}")
        (out / "names").write_text("a=1\n")
        return f"v{self.made}", {"disk": out / "disk.zst", "names": out / "names"}


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> Maker:
    maker = Maker()
    monkeypatch.setattr(build, "SYSTEMS", {"small": System(("artifacts/tar.py",), maker, ())})
    return maker


@pytest.fixture
def lock(tmp_path: Path) -> Lock:
    path = tmp_path / "small.lock"
    head, _, _ = LOCK.partition("products:")
    path.write_text(head + "products: {}\nimages: {}\nsystems: {small: [disk, names]}\n")
    return load_lock(path)


def quiet(_: str) -> None:
    pass


def test_a_system_is_made_once_for_the_same_inputs(lock: Lock, maker: Maker) -> None:
    """The second run looks at recorded inputs and files and makes nothing."""
    first = bring_up_systems(lock, quiet)
    assert first.file("disk").path == "small/v1/disk.zst"
    assert first.file("disk").check().local.read_text() == "disk trixie 1"
    assert bring_up_systems(lock, quiet).files == first.files
    assert maker.made == 1


def test_refresh_makes_it_again(lock: Lock, maker: Maker) -> None:
    """Debian's archive changes without our inputs changing; a person asks for its news."""
    bring_up_systems(lock, quiet)
    assert bring_up_systems(lock, quiet, refresh=True).file("disk").version == "v2"


def test_a_changed_recipe_makes_it_again(lock: Lock, maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that decides the bytes is part of the inputs."""
    bring_up_systems(lock, quiet)
    monkeypatch.setattr(build, "SYSTEMS", {"small": System(("artifacts/tar.py", "artifacts/oci.py"), maker, ())})
    assert bring_up_systems(lock, quiet).file("disk").version == "v2"


def test_a_bundle_carries_it_so_that_nothing_is_made(
    lock: Lock, maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made of the same inputs elsewhere, it is taken as it is, both files together."""
    there = bring_up_systems(lock, quiet)
    write_bundle(there, tmp_path / "small.lock", tmp_path / "b.tar")
    monkeypatch.setenv("BMK_CACHE_DIR", str(tmp_path / "elsewhere"))
    with opened(tmp_path / "b.tar") as (root, carried):
        here = bring_up(lock, [Directory("bundle", root, carried)], quiet)
    assert maker.made == 1
    assert here.file("disk").sha256 == there.file("disk").sha256
    assert here.file("disk").check()


def test_every_system_of_the_shipped_lock_can_be_made() -> None:
    """The lock names no system that the table does not have, and every recipe exists."""
    assert set(load_lock().systems) == set(SYSTEMS)
    for system in SYSTEMS.values():
        assert all((systems.HERE.parent / name).exists() for name in system.recipe)


def test_a_change_of_what_is_packed_makes_the_ramdisk_again() -> None:
    """Every module in the agent's zipapp is part of the recipe, wherever in bmk it stands."""
    with zipfile.ZipFile(io.BytesIO(pack_agent())) as archive:
        packed = set(archive.namelist()) - {"__main__.py", "bmk/__init__.py"}
    recipe = tuple(f"bmk/{name}" for name in SYSTEMS["install"].recipe)
    assert {name for name in packed if not name.startswith(recipe)} == set()
    assert "bmk/agent/flow.py" in packed


def test_a_flipped_byte_in_what_machines_boot_is_found_before_they_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Firmware checks nothing: a damaged kernel is named and made again when a data center is opened."""
    maker, said = Maker(), list[str]()
    monkeypatch.setattr(build, "SYSTEMS", {"install": System(("artifacts/tar.py",), maker, ())})
    head, _, _ = LOCK.partition("products:")
    (tmp_path / "boot.lock").write_text(head + "products: {}\nimages: {}\nsystems: {install: [disk, names]}\n")
    kernel = ensure_mirror(tmp_path / "boot.lock", quiet).file("disk")
    stat, data = kernel.local.stat(), bytearray(kernel.local.read_bytes())
    data[0] ^= 1
    kernel.local.write_bytes(data)
    os.utime(kernel.local, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert ensure_mirror(tmp_path / "boot.lock", said.append).file("disk").check()
    assert maker.made == 2
    assert str(kernel.local) in said[0]
