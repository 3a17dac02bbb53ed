"""Bringing a mirror up: what the lock names is taken, everything else is refused by name, and nothing is done twice."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bmk.artifacts.build import bring_up
from bmk.artifacts.bundle import opened, write_bundle
from bmk.artifacts.content import sha256_bytes
from bmk.artifacts.lock import load_lock
from bmk.artifacts.mirror import Mirror, load_mirror, open_mirror
from bmk.artifacts.relock import relock
from bmk.artifacts.sources import Directory, UpstreamReleases
from bmk.errors import DigestMismatch, PreflightRefused

from .conftest import LOCK, TOOL


class Lines(list[str]):
    """Collects what a build says."""

    def __call__(self, text: str) -> None:
        self.append(text)


@pytest.fixture
def said() -> Lines:
    return Lines()


@pytest.fixture
def filled(lock_file: Path, place: Path, said: Lines) -> Mirror:
    """A mirror brought up from the directory of plain files."""
    return bring_up(load_lock(lock_file), [Directory("place", place, None)], said)


@pytest.fixture
def copied(filled: Mirror, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    """The same in another place, by `cp -r`, which keeps bytes and no times."""
    there = cache.with_name("copied")
    subprocess.run(["cp", "-r", cache, there], check=True)
    monkeypatch.setenv("BMK_CACHE_DIR", str(there))
    return open_mirror()


def flip(path: Path, at: int = 100) -> None:
    """Change one byte in place, leaving the size."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_pinned_file_from_a_directory_is_taken_and_an_image_made_of_it(filled: Mirror) -> None:
    """What matches the lock ends up in the mirror, executable, and in the registry."""
    tool = filled.file("tool")
    assert tool.local.read_bytes() == TOOL
    assert tool.local.stat().st_mode & 0o777 == 0o755
    assert tool.path == "tools/v1.2.3/tool"
    assert filled.registry.complete("tool", "v1.2.3", filled.image("tool").digest)
    assert [problem for _, problem in filled.verify()] == [None, None]


def test_a_second_run_does_nothing(filled: Mirror, lock_file: Path, said: Lines) -> None:
    """With everything in place no source is asked: even none at all will do."""
    said.clear()
    assert bring_up(load_lock(lock_file), [], said).files == filled.files
    assert said == []


def test_a_cache_that_was_copied_is_judged_by_its_content(copied: Mirror, lock_file: Path, said: Lines) -> None:
    """No source is asked, and the times of the copies are recorded: the next run reads nothing."""
    said.clear()
    before = copied.seen
    bring_up(load_lock(lock_file), [], said)
    assert said == []
    assert open_mirror().seen != before


def test_a_byte_that_changed_in_the_copy_is_found(copied: Mirror, lock_file: Path, place: Path, said: Lines) -> None:
    """Of the right size, and recorded as another: made again."""
    flip(copied.file("tool").local)
    bring_up(load_lock(lock_file), [Directory("place", place, None)], said)
    assert copied.file("tool").check().local.read_bytes() == TOOL


def test_other_bytes_than_the_pinned_are_refused_by_name(lock_file: Path, place: Path, said: Lines) -> None:
    """One flipped byte in a source names file, expected and seen; nothing gets into the mirror."""
    flip(place / "tool")
    with pytest.raises(DigestMismatch) as caught:
        bring_up(load_lock(lock_file), [Directory("place", place, None)], said)
    assert "tool" in caught.value.what
    assert str(place / "tool") in caught.value.where
    assert str(load_lock(lock_file).products["tools"].files["tool"].sha256) in caught.value.why
    assert not open_mirror().files


def test_a_file_that_no_source_has_is_named_with_the_sources_asked(
    lock_file: Path, tmp_path: Path, said: Lines
) -> None:
    """An empty directory is no source; the refusal says what was asked."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(PreflightRefused, match="no source has tool") as caught:
        bring_up(load_lock(lock_file), [Directory("empty", tmp_path / "empty", None)], said)
    assert "empty" in caught.value.why


def test_upstream_is_not_fetched_while_nobody_vouched_for_its_digest(lock_file: Path, said: Lines, place: Path) -> None:
    """With `sha256: null` the URL is never opened (it would fail here), and the next source is asked."""
    lock = load_lock(lock_file)
    mirror = bring_up(lock, [UpstreamReleases("upstream", lock, said), Directory("place", place, None)], said)
    assert mirror.file("tool").source == str(place / "tool")
    assert not any("fetching" in line for line in said)


@pytest.mark.parametrize("damage", [flip, lambda path: path.write_bytes(path.read_bytes()[:-1]), Path.unlink])
def test_damage_to_a_file_is_found_before_use_and_repaired(
    filled: Mirror, lock_file: Path, place: Path, said: Lines, damage: Callable[[Path], None]
) -> None:
    """A flipped or missing byte is named by `check` and by `verify`, and the next run makes it good."""
    damage(filled.file("tool").local)
    with pytest.raises(DigestMismatch, match="file tool"):
        filled.file("tool").check()
    for artifact, problem in filled.verify():
        if problem is not None:
            filled.distrust(artifact)
    repaired = bring_up(load_lock(lock_file), [Directory("place", place, None)], said)
    assert repaired.file("tool").check().local.read_bytes() == TOOL


@pytest.mark.parametrize("which", [0, 1, 2], ids=["manifest", "config", "layer"])
def test_damage_to_an_image_is_found_and_repaired(
    filled: Mirror, lock_file: Path, place: Path, said: Lines, which: int
) -> None:
    """A flipped byte in any blob of an image is named with the image, also when its time looks unchanged."""
    image = filled.image("tool")
    flip(filled.registry.blob(filled.registry.blobs_of(image.digest)[which]), at=20)
    problems = [(artifact, problem) for artifact, problem in filled.verify() if problem is not None]
    assert [artifact.name for artifact, _ in problems] == ["tool"]
    assert "image tool:v1.2.3" in problems[0][1].what
    filled.distrust(problems[0][0])
    repaired = bring_up(load_lock(lock_file), [Directory("place", place, None)], said)
    assert [problem for _, problem in repaired.verify()] == [None, None]
    assert repaired.image("tool").digest == image.digest


def test_an_image_that_came_out_differently_is_refused(lock_file: Path, place: Path, said: Lines) -> None:
    """An image made only of pinned programs is pinned itself, by its id."""
    pinned = load_lock(lock_file).products["tools"].files["tool"].sha256
    lock_file.write_text(LOCK.format(sha256=pinned, id="f" * 64))
    with pytest.raises(DigestMismatch, match="image tool") as caught:
        bring_up(load_lock(lock_file), [Directory("place", place, None)], said)
    assert "expected id " + "f" * 64 in caught.value.why


def test_a_new_version_in_the_lock_is_fetched_again(filled: Mirror, lock_file: Path, place: Path, said: Lines) -> None:
    """Old files are not mistaken for new ones; `load_mirror` refuses until they are made."""
    new = TOOL + b"# new\n"
    (place / "tool").write_bytes(new)
    lock_file.write_text(LOCK.format(sha256=sha256_bytes(new), id="null").replace("v1.2.3", "v1.3.0"))
    with pytest.raises(PreflightRefused, match="not complete") as caught:
        load_mirror(lock_file)
    assert "tool" in caught.value.why
    bring_up(load_lock(lock_file), [Directory("place", place, None)], said)
    assert load_mirror(lock_file).file("tool").version == "v1.3.0"


def test_what_a_killed_build_left_behind_is_cleared(
    filled: Mirror, lock_file: Path, place: Path, said: Lines, cache: Path
) -> None:
    """Scratch directories and half-written files do not pile up."""
    (cache / "build/step-dead").mkdir(parents=True)
    (cache / "mirror/files/tools/.tool.1.part").write_bytes(b"half")
    bring_up(load_lock(lock_file), [], said)
    assert not list(cache.rglob("step-*"))
    assert not list(cache.rglob("*.part"))


def test_a_bundle_carries_everything_to_another_machine(
    filled: Mirror, lock_file: Path, tmp_path: Path, said: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a bundle alone, with its digest compared, the same files and images come up, every byte checked."""
    bundle = tmp_path / "bundle.tar"
    digest = write_bundle(filled, lock_file, bundle)
    monkeypatch.setenv("BMK_CACHE_DIR", str(tmp_path / "elsewhere"))
    with opened(bundle, digest) as (root, carried):
        there = bring_up(load_lock(lock_file), [Directory("bundle", root, carried)], said)
    assert there.file("tool").sha256 == filled.file("tool").sha256
    assert there.image("tool").digest == filled.image("tool").digest
    assert [problem for _, problem in there.verify()] == [None, None]
    assert (tmp_path / "elsewhere") in there.file("tool").local.parents


def test_a_cut_or_altered_bundle_is_refused(filled: Mirror, lock_file: Path, tmp_path: Path, said: Lines) -> None:
    """Cut off: named as such. Another resolved lock than the one announced: refused before a file is read."""
    bundle = tmp_path / "bundle.tar"
    digest = write_bundle(filled, lock_file, bundle)
    (tmp_path / "cut.tar").write_bytes(bundle.read_bytes()[:20000])
    with pytest.raises(DigestMismatch, match="cut off"), opened(tmp_path / "cut.tar"):
        pass
    with pytest.raises(DigestMismatch, match="resolved lock"), opened(bundle, "0" * 64):
        pass
    with opened(bundle, digest) as (root, carried):
        assert carried is not None
        flip(root / "mirror/files/tools/v1.2.3/tool")
        with pytest.raises(DigestMismatch, match="file tool"):
            Directory("bundle", root, carried).offer("tools", ["tool"], tmp_path)


def test_a_damaged_mirror_is_not_bundled(filled: Mirror, lock_file: Path, tmp_path: Path) -> None:
    """Damage is found where it is, and not where the bundle is opened."""
    flip(filled.file("tool").local)
    with pytest.raises(DigestMismatch, match="file tool"):
        write_bundle(filled, lock_file, tmp_path / "bundle.tar")
    assert not (tmp_path / "bundle.tar").exists()


def test_unused_files_and_blobs_are_removed_after_a_day(filled: Mirror) -> None:
    """Old versions and images do not fill the disk; what is current, or was until just now, stays."""
    old, young = filled.root / "files/tools/v1.0.0/tool", filled.root / "files/tools/v1.1.0/tool"
    for path, age in ((old, 100_000), (young, 10)):
        path.parent.mkdir()
        path.write_bytes(b"x")
        os.utime(path, (time.time() - age, time.time() - age))
    stale, _ = filled.registry.add_bytes(b"a layer that no image has")
    os.utime(filled.registry.blob(stale), (0, 0))
    for artifact in filled.files.values():
        os.utime(artifact.local, (0, 0))
    assert set(filled.prune(before=time.time() - 86_400)) == {old, filled.registry.blob(stale)}
    assert young.exists()
    assert [problem for _, problem in filled.verify()] == [None, None]


OLDER = b"#!/bin/sh\necho older\n" * 1000
RELEASES = """\
releases:
  1.2.0:
    products:
      tools: {{version: v1.2.0, sha256: {{tool: {sha256}}}}}
    images:
      tool: {{tag: v1.2.0}}
"""


@pytest.fixture
def older(filled: Mirror, lock_file: Path, tmp_path: Path, said: Lines) -> Mirror:
    """A mirror beside whose version an older one was built."""
    lock_file.write_text(lock_file.read_text() + RELEASES.format(sha256=sha256_bytes(OLDER)))
    place = tmp_path / "older"
    place.mkdir()
    (place / "tool").write_bytes(OLDER)
    return bring_up(load_lock(lock_file).at("1.2.0"), [Directory("older", place, None)], said, release="1.2.0")


def test_versions_are_side_by_side(filled: Mirror, older: Mirror) -> None:
    """Files by version, images by tag, each whole; the lock's own record is what it was."""
    assert older.file("tool").local.read_bytes() == OLDER
    assert filled.file("tool").check().local.read_bytes() == TOOL
    assert open_mirror().files == filled.files
    assert (older.image("tool").tag, filled.image("tool").tag) == ("v1.2.0", "v1.2.3")
    for mirror in (filled, older):
        image = mirror.image("tool")
        assert mirror.registry.complete("tool", image.tag, image.digest)
        assert [problem for _, problem in mirror.verify()] == [None, None]


def test_a_version_beside_is_built_once_and_kept(older: Mirror, lock_file: Path, said: Lines) -> None:
    """A second run asks no source, and what no record names is removed around it."""
    said.clear()
    assert bring_up(load_lock(lock_file).at("1.2.0"), [], said, release="1.2.0").files == older.files
    assert bring_up(load_lock(lock_file), [], said).prune(before=float("inf")) == []
    assert said == []
    assert older.file("tool").check()


def test_a_version_beside_goes_when_its_record_does(filled: Mirror, older: Mirror) -> None:
    """Its files and blobs, and none of the others."""
    older.record.unlink()
    assert older.file("tool").local in open_mirror().prune(before=float("inf"))
    assert [problem for _, problem in open_mirror().verify()] == [None, None]


def test_damage_to_a_version_beside_is_its_own(filled: Mirror, older: Mirror) -> None:
    """It is found by verifying that one, and noted in its record."""
    flip(older.file("tool").local)
    (wrong,) = [artifact for artifact, problem in older.verify() if problem is not None]
    older.distrust(wrong)
    assert not open_mirror(release="1.2.0").seen["tool"]
    assert open_mirror().seen["tool"]


def test_digests_of_a_version_beside_are_written_in_its_place(older: Mirror, lock_file: Path) -> None:
    """And those of the lock's own stay."""
    block = "\n        version: v1.2.0\n        sha256:\n          tool: null"
    text = lock_file.read_text().replace(f"{{version: v1.2.0, sha256: {{tool: {sha256_bytes(OLDER)}}}}}", block)
    lock_file.write_text(text.replace("{tag: v1.2.0}", "\n        tag: v1.2.0"))
    assert relock(lock_file, older) == ["tool"]
    assert load_lock(lock_file).releases["1.2.0"].products["tools"].sha256 == {"tool": sha256_bytes(OLDER)}
    assert load_lock(lock_file).products["tools"].files["tool"].sha256 == sha256_bytes(TOOL)
