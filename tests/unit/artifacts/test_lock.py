"""The lock: what ships is whole, what is wrong is named with its place, and relocking touches digests only."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmk.artifacts import gomodules
from bmk.artifacts.lock import DEFAULT_LOCK, load_lock
from bmk.artifacts.mirror import FileArtifact, ImageArtifact, Mirror
from bmk.artifacts.registry import Registry
from bmk.artifacts.relock import relock
from bmk.errors import ConfigError


def test_every_static_program_of_the_shipped_lock_is_pinned_by_digest() -> None:
    """Only what is linked with this machine's libraries may lack a digest."""
    lock = load_lock()
    unpinned = {file for p in lock.products.values() for file, pin in p.outputs().items() if pin.sha256 is None}
    assert unpinned == {file for p in lock.products.values() if p.cgo for file in p.outputs()}


def test_versions_of_lock_and_modules_agree() -> None:
    """A version is written in the lock and in go.mod; they cannot drift apart unnoticed."""
    for name, product in load_lock().products.items():
        assert gomodules.module_version(name, product.module) == product.version, name


def test_every_image_is_made_of_files_that_the_lock_names() -> None:
    """No image asks for a file that no product makes, and every image has an entry point inside itself."""
    lock = load_lock()
    for name, image in lock.images.items():
        assert all(lock.product_of(file) for file in image.files.values()), name
        assert image.entrypoint[0] in {*image.files, *image.keep, *image.links}, name


def test_images_carry_the_tags_of_the_programs_in_them() -> None:
    """kubeadm asks for images by version; etcd's tag has a revision behind the version."""
    lock = load_lock()
    for name, image in lock.images.items():
        for file in image.files.values():
            assert image.tag.split("-")[0].removeprefix("v") == lock.product_of(file)[1].version.removeprefix("v"), name


def test_all_problems_of_a_lock_are_named_with_their_place(tmp_path: Path) -> None:
    """Two mistakes in a file give one error with two positions."""
    path = tmp_path / "artifacts.lock"
    path.write_text(
        DEFAULT_LOCK.read_text().replace("kind: ArtifactsLock", "kind: Lock").replace("cgo: true", "cgoo: true")
    )
    with pytest.raises(ConfigError) as caught:
        load_lock(path)
    assert "cgoo" in caught.value.why
    assert "kind" in caught.value.why
    assert caught.value.why.count(f"{path}:") == 2


def test_a_missing_lock_is_a_configuration_error(tmp_path: Path) -> None:
    """A wrong path is named and never a traceback."""
    with pytest.raises(ConfigError, match="cannot read"):
        load_lock(tmp_path / "nowhere")


def test_relock_changes_digests_and_nothing_else(lock_file: Path, tmp_path: Path) -> None:
    """Comments, order and upstream's own digests stay as a person wrote them."""
    before = lock_file.read_text().splitlines()
    mirror = Mirror(tmp_path, Registry(tmp_path))
    mirror.files["tool"] = FileArtifact("tool", "v1.2.3", "x", "a" * 64, 1, "", "", tmp_path / "x")
    mirror.images["tool"] = ImageArtifact("tool", "v1.2.3", "sha256:" + "c" * 64, "b" * 64, 1, "")
    assert relock(lock_file, mirror) == ["tool", "tool"]
    changed = [(old, new) for old, new in zip(before, lock_file.read_text().splitlines(), strict=True) if old != new]
    assert [new.strip() for _, new in changed] == [f"sha256: {'a' * 64}", f"id: {'b' * 64}"]
    assert load_lock(lock_file).products["tools"].files["tool"].upstream is not None


def test_the_shipped_lock_relocks_to_itself(tmp_path: Path) -> None:
    """Writing the digests that the lock already holds changes no byte of it."""
    lock = load_lock()
    mirror = Mirror(tmp_path, Registry(tmp_path))
    for product in lock.products.values():
        for name, pin in product.outputs().items():
            mirror.files[name] = FileArtifact(name, product.version, "", pin.sha256 or "", 1, "", "", tmp_path)
    for name, image in lock.images.items():
        mirror.images[name] = ImageArtifact(name, image.tag, "", image.id or "", 1, "")
    copy = tmp_path / "artifacts.lock"
    copy.write_text(DEFAULT_LOCK.read_text())
    assert relock(copy, mirror) == []
    assert copy.read_text() == DEFAULT_LOCK.read_text()
