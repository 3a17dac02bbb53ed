"""Images written into the storage directory are served by the real docker-registry and taken by a real client."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from bmk.artifacts.mirror import Mirror

from .conftest import TOOL

pytestmark = pytest.mark.services


def skopeo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["skopeo", *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_a_client_finds_the_image_by_tag_and_digest(mirror: Mirror, registry: str) -> None:
    """Tag and manifest digest lead to the same image, and it is the one that was recorded."""
    image = mirror.image("tool")
    for reference in ("tool:v1.2.3", f"tool@{image.digest}"):
        answer = skopeo("inspect", "--tls-verify=false", f"docker://{registry}/{reference}")
        assert answer.returncode == 0, answer.stderr
        assert json.loads(answer.stdout)["Digest"] == image.digest


def test_a_client_pulls_the_layer_with_the_program_in_it(mirror: Mirror, registry: str, tmp_path: Path) -> None:
    """What a node unpacks is the pinned program, its link and the user it runs as."""
    target = tmp_path / "pulled"
    answer = skopeo("copy", "--src-tls-verify=false", f"docker://{registry}/tool:v1.2.3", f"dir:{target}")
    assert answer.returncode == 0, answer.stderr
    manifest = json.loads((target / "manifest.json").read_bytes())
    config = json.loads((target / manifest["config"]["digest"][7:]).read_bytes())
    assert config["config"]["User"] == "65532:65532"
    assert config["config"]["Entrypoint"] == ["/usr/bin/tool"]
    layer = target / manifest["layers"][0]["digest"][7:]
    subprocess.run(["zstd", "-q", "-d", str(layer), "-o", str(tmp_path / "layer.tar")], check=True)
    with tarfile.open(tmp_path / "layer.tar") as tar:
        stream = tar.extractfile("usr/bin/tool")
        assert stream is not None
        assert stream.read() == TOOL
        assert tar.getmember("usr/bin/alias").linkname == "tool"


def test_an_altered_blob_is_refused_by_the_client_too(mirror: Mirror, registry: str, tmp_path: Path) -> None:
    """Even without `bmk artifacts verify`, a flipped byte in a layer never becomes a file on a node."""
    blob = mirror.registry.blob(mirror.registry.blobs_of(mirror.image("tool").digest)[2])
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    answer = skopeo("copy", "--src-tls-verify=false", f"docker://{registry}/tool:v1.2.3", f"dir:{tmp_path / 'pulled'}")
    assert answer.returncode != 0
    assert "did not match" in answer.stderr
