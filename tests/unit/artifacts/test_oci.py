"""Images: the same inputs give the same bytes, and everything that a manifest names is in the registry."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path

from bmk.artifacts import oci
from bmk.artifacts.lock import Image
from bmk.artifacts.registry import Registry

IMAGE = Image.model_validate(
    {"tag": "v1", "id": None, "files": {"/usr/bin/tool": "tool"}, "links": {"/usr/bin/alias": "tool"},
     "entrypoint": ["/usr/bin/tool"], "user": "65532:65532"}
)  # fmt: skip


def made(directory: Path, program: bytes = b"program") -> tuple[oci.Made, Registry]:
    """The image, built in a directory of its own."""
    directory.mkdir()
    (directory / "tool").write_bytes(program)
    registry = Registry(directory / "registry")
    layers = oci.contents(IMAGE, "trixie", {"tool": directory / "tool"}, directory)
    return oci.make("tools/tool", IMAGE, layers, directory, registry), registry


def test_the_same_inputs_give_the_same_image(tmp_path: Path) -> None:
    """Digest and id depend on the contents alone: not on the directory, the time or a former build."""
    first, second = made(tmp_path / "a")[0], made(tmp_path / "b")[0]
    assert first == second
    assert made(tmp_path / "c", b"another")[0].id != first.id


def test_a_manifest_names_what_is_there(tmp_path: Path) -> None:
    """Configuration and layer have the digests and sizes of the manifest; the id is the configuration's digest."""
    image, registry = made(tmp_path / "a")
    manifest = json.loads(registry.blob(image.digest).read_bytes())
    for part in (manifest["config"], *manifest["layers"]):
        assert registry.blob(part["digest"]).stat().st_size == part["size"]
    assert manifest["config"]["digest"] == f"sha256:{image.id}"
    assert image.size == sum(layer["size"] for layer in manifest["layers"])
    config = json.loads(registry.blob(manifest["config"]["digest"]).read_bytes())
    assert (config["config"]["Entrypoint"], config["config"]["User"]) == (["/usr/bin/tool"], "65532:65532")


def test_a_layer_holds_the_program_its_links_and_users(tmp_path: Path) -> None:
    """As zstd and tar of other programs read it: owners are root, times are zero, the program can be executed."""
    image, registry = made(tmp_path / "a")
    (layer,) = json.loads(registry.blob(image.digest).read_bytes())["layers"]
    plain = subprocess.run(
        ["zstd", "-dcq", str(registry.blob(layer["digest"]))], capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        members = {"/" + m.name.lstrip("./"): m for m in tar}
    assert {(m.uid, m.gid, m.mtime) for m in members.values()} == {(0, 0, 0)}
    assert members["/usr/bin/tool"].mode & 0o111
    assert members["/usr/bin/alias"].linkname == "tool"
    assert "/etc/passwd" in members


def test_inputs_change_with_what_decides_the_image() -> None:
    """The digest of the inputs moves with a file and with a setting, and not with the expected id."""
    before = oci.inputs(IMAGE, "trixie", {"tool": "1", "other": "9"})
    assert before == oci.inputs(IMAGE.model_copy(update={"id": "a" * 64}), "trixie", {"tool": "1"})
    assert before != oci.inputs(IMAGE, "trixie", {"tool": "2"})
    assert before != oci.inputs(IMAGE.model_copy(update={"user": "0:0"}), "trixie", {"tool": "1"})
