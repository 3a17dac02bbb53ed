"""The lock: what ships is whole, what is wrong is named with its place, and relocking touches digests only."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmk.artifacts import gomodules
from bmk.artifacts.lock import DEFAULT_LOCK, Lock, load_lock
from bmk.artifacts.mirror import FileArtifact, ImageArtifact, Mirror
from bmk.artifacts.other_lock import other_lock
from bmk.artifacts.registry import Registry
from bmk.artifacts.relock import relock
from bmk.errors import ConfigError


def test_every_static_program_of_the_shipped_lock_is_pinned_by_digest() -> None:
    """Only what is linked with this machine's libraries may lack a digest."""
    for lock in every():
        unpinned = {file for p in lock.products.values() for file, pin in p.outputs().items() if pin.sha256 is None}
        assert unpinned == {file for p in lock.products.values() if p.cgo for file in p.outputs()}


def every() -> list[Lock]:
    """The shipped lock, and with each further version of Kubernetes that it has."""
    lock = load_lock()
    return [lock.at(version) for version in lock.kubernetes]


def test_versions_of_lock_and_modules_agree() -> None:
    """A version is written in the lock and in go.mod; they cannot drift apart unnoticed."""
    seen = set()
    for lock in every():
        for name, product in lock.products.items():
            directory = gomodules.module_of(name, product)
            seen.add(directory)
            assert gomodules.module_version(directory, product.module) == product.version, name
    assert seen == {path for path in gomodules.MODULES.iterdir() if path.is_dir()}, "no module is left over"


def test_the_lock_has_two_minor_versions_of_kubernetes() -> None:
    """So that a cluster can be upgraded: its own, and the one before, with the version in the names of its releases."""
    own, before = (tuple(map(int, version.split("."))) for version in load_lock().kubernetes)
    assert (own[0], own[1] - 1) == before[:2]
    for version in load_lock().kubernetes:
        assert load_lock().at(version).products["kubernetes"].version == f"v{version}"


def test_a_release_has_what_it_says_otherwise_and_the_rest_of_the_lock() -> None:
    """Digests of the other version never stand for it, and upstream's builds of it are vouched for by nobody."""
    lock = load_lock()
    before = lock.at(lock.kubernetes[1])
    assert before.products["containerd"] == lock.products["containerd"]
    mine, theirs = lock.products["kubernetes"].files, before.products["kubernetes"].files
    assert mine.keys() == theirs.keys()
    assert not {pin.sha256 for pin in mine.values()} & {pin.sha256 for pin in theirs.values()}
    assert before.images["kube-apiserver"].entrypoint == lock.images["kube-apiserver"].entrypoint
    with pytest.raises(ConfigError, match=r"no Kubernetes 1\.30\.0"):
        lock.at("1.30.0")


def test_every_image_is_made_of_files_that_the_lock_names() -> None:
    """No image asks for a file that no product makes, and every image has an entry point inside itself."""
    lock = load_lock()
    for name, image in lock.images.items():
        assert all(lock.product_of(file) for file in image.files.values()), name
        assert image.entrypoint[0] in {*image.files, *image.keep, *image.links}, name


def test_images_carry_the_tags_of_the_programs_in_them() -> None:
    """kubeadm asks for images by version; etcd's tag has a revision behind the version."""
    for lock in every():
        for name, image in lock.images.items():
            for file in image.files.values():
                version = lock.product_of(file)[1].version
                assert image.tag.split("-")[0].removeprefix("v") == version.removeprefix("v"), name


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


SPOILED = {
    "package that is an option": ("package: example.org/tools/cmd/tool", "package: -toolexec=/tmp/x"),
    "module that is an option": ("module: example.org/tools", "module: -modfile=/tmp/go.mod"),
    "version that leads away": ("version: v1.2.3 ", "version: ../../../etc "),
    "linker of one's own": ("module: example.org/tools\n", "module: example.org/tools\n    ldflags: -extld=/tmp/x\n"),
    "flags for the linker's linker": (
        "module: example.org/tools\n",
        "module: example.org/tools\n    ldflags: -s -extldflags '-fuse-ld=/tmp/x'\n",
    ),
    "format that looks inside": (
        "module: example.org/tools\n",
        "module: example.org/tools\n    ldflags: -X a.b={version.__class__}\n",
    ),
    "tag that is an option": (
        "module: example.org/tools\n",
        "module: example.org/tools\n    tags: ['x -toolexec=y']\n",
    ),
    "file that leads away": ("      tool:\n", "      ../../tool:\n"),
    "product that leads away": ("  tools:\n", "  ../tools:\n"),
    "suite that is an option": ("debian: trixie", "debian: --customize-hook=id"),
    "Go of a path": ("go: 1.26.8", "go: 1.26.8+path"),
    "release over http": ("https://example.org", "http://example.org"),
    "release of a format": ("{version}/tool", "{version.x}/tool"),
    "digest that is none": ("sha256: null", "sha256: abc"),
    "file of an image that leads away": ("/usr/bin/tool: tool", "/../tool: tool"),
    "link that leads away": ("/usr/bin/alias: tool", "/usr/bin/alias: ../../../etc/passwd"),
    "image that leads away": ("images:\n  tool:", "images:\n  ../tool:"),
    "tag of an image that leads away": ("    tag: v1.2.3", "    tag: ../v1.2.3"),
    "package of Debian that is a pattern": ("    entrypoint:", "    debian: ['?essential']\n    entrypoint:"),
    "user that is root": ('user: "65532:65532"', 'user: "0:0"'),
    "file that nobody makes": ("/usr/bin/tool: tool", "/usr/bin/tool: other"),
}


@pytest.mark.parametrize(("old", "new"), SPOILED.values(), ids=SPOILED)
def test_values_of_a_lock_cannot_be_options_paths_or_code(lock_file: Path, old: str, new: str) -> None:
    """A lock may come with a pull request: what would be an option, a way out of a directory or code is refused."""
    text = lock_file.read_text()
    assert old in text
    lock_file.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match="the lock file is not valid"):
        load_lock(lock_file)


def test_a_lock_with_another_version_than_the_module_builds_nothing(lock_file: Path, tmp_path: Path) -> None:
    """What is compiled is what go.mod says; under another version's name it would be a lie."""
    product = load_lock().products["cni"].model_copy(update={"version": "v1.9.9"})
    for name, wrong in (("cni", product), ("nowhere", product)):
        with pytest.raises(ConfigError, match=r"the lock wants .* v1\.9\.9, and bmk has"):
            gomodules.build(name, wrong, "1.26.8", tmp_path, lambda _: None)


def test_another_lock_than_the_shipped_one_is_told_with_what_differs(tmp_path: Path) -> None:
    """Names, versions and digests that differ are named, versions first; a copy of the shipped lock is no other one."""
    path = tmp_path / "artifacts.lock"
    path.write_text(DEFAULT_LOCK.read_text())
    assert other_lock(path) == other_lock(None) == other_lock(DEFAULT_LOCK) == []
    text = DEFAULT_LOCK.read_text().replace("version: v3.7.0", "version: v3.7.1").replace("e3af324b", "e3af324c")
    path.write_text(text.replace("      ctr:\n", "      crt:\n"))
    head, first, *others = other_lock(path)
    assert head == f"{path} is not the lock that bmk ships:"
    assert first == "  products.etcd.version: v3.7.1, shipped v3.7.0"
    assert any("etcd-server.sha256: e3af324c" in line for line in others)
    assert any(line.startswith("  products.containerd.files.ctr.package: has none, shipped github") for line in others)
