"""The bill of materials: valid by the official schema, the same for the same mirror, true of what is in the files."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given
from hypothesis import strategies as st

from bmk.artifacts.buildinfo import build_info, programs
from bmk.artifacts.content import sha256_file
from bmk.artifacts.debian import source_packages
from bmk.artifacts.lock import Lock, load_lock
from bmk.artifacts.mirror import FileArtifact, ImageArtifact, Mirror
from bmk.artifacts.oci import PACKAGES
from bmk.artifacts.registry import Registry
from bmk.artifacts.sbom import sbom
from bmk.artifacts.tar import plain_tar
from bmk.programs import find


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that Go built just now, of one module."""
    place = tmp_path_factory.mktemp("go")
    (place / "go.mod").write_text("module example.net/Tool/v2\n\ngo 1.21\n")
    (place / "main.go").write_text('package main\n\nfunc main() { println("x") }\n')
    go = find("go") or "go"
    subprocess.run([go, "build", "-trimpath", "-ldflags=-s -w", "-o", "tool", "."], cwd=place, check=True)
    return place / "tool"


@pytest.fixture
def mirror(program: Path, lock_file: Path, tmp_path: Path) -> tuple[Lock, Mirror]:
    """A mirror of a program, an archive of it, a node image with its packages, and an image with a part from Debian."""
    made = Mirror(tmp_path, Registry(tmp_path / "registry"))
    plain_tar(tmp_path / "both.tar", {"one": program, "two": program})
    (tmp_path / "packages").write_text("bash=5.2-1\nlibc6=2.41-12+deb13u1\n")
    places = {"tool": program, "both": tmp_path / "both.tar", "node-image": tmp_path / "packages"}
    for name, local in {**places, "node-packages": tmp_path / "packages"}.items():
        made.files[name] = FileArtifact(name, "v1.2.3", f"x/{name}", sha256_file(local), 1, "go-modules", "", local)
    config, _ = made.registry.add_bytes(
        json.dumps({"config": {"Labels": {PACKAGES: "glibc=2.41-12 nft=1.1"}}}).encode()
    )
    made.images["tool"] = ImageArtifact("tool", "v1.2.3", f"sha256:{'a' * 64}", config.removeprefix("sha256:"), 1, "")
    return load_lock(lock_file), made


def _refs(document: dict[str, Any], of: str) -> list[str]:
    return next(entry["dependsOn"] for entry in document["dependencies"] if entry["ref"] == of)


def test_the_official_schema_accepts_it(mirror: tuple[Lock, Mirror]) -> None:
    """CycloneDX 1.6, strictly: no unknown key, no reference that leads nowhere, no component twice."""
    document = sbom("par", *mirror)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document)) is None
    known = {component["bom-ref"] for component in document["components"]}
    assert len(known) == len(document["components"])
    assert {ref for entry in document["dependencies"] for ref in entry["dependsOn"]} <= known


def test_it_says_what_is_in_each_file_and_image(mirror: tuple[Lock, Mirror]) -> None:
    """Modules of programs, also of those in an archive; packages; files of images; all of it below the data center."""
    document = sbom("par", *mirror)
    assert "pkg:golang/example.net/tool/v2@%28devel%29" in _refs(document, "file:tool")
    assert _refs(document, "file:both") == _refs(document, "file:tool")
    assert any(ref.startswith("pkg:golang/stdlib@1.") for ref in _refs(document, "file:tool"))
    assert _refs(document, "file:node-image") == [
        "pkg:deb/debian/bash@5.2-1?arch=amd64&distro=trixie",
        "pkg:deb/debian/libc6@2.41-12%2Bdeb13u1?arch=amd64&distro=trixie",
    ]
    assert _refs(document, "image:tool") == [
        "file:tool",
        "pkg:deb/debian/glibc@2.41-12?arch=source&distro=trixie",
        "pkg:deb/debian/nft@1.1?arch=source&distro=trixie",
    ]
    assert _refs(document, "datacenter:par") == [
        "file:both", "file:node-image", "file:node-packages", "file:tool", "image:tool",
    ]  # fmt: skip


def test_the_same_mirror_gives_the_same_bytes(mirror: tuple[Lock, Mirror]) -> None:
    """No time and no random number; another mirror has another serial number."""
    lock, made = mirror
    before = json.dumps(sbom("par", lock, made))
    made.files = dict(reversed(made.files.items()))
    assert json.dumps(sbom("par", lock, made)) == before
    del made.files["both"]
    assert sbom("par", lock, made)["serialNumber"] != json.loads(before)["serialNumber"]


def test_a_program_says_what_go_says_of_it(program: Path) -> None:
    """The reader agrees with `go version -m`."""
    (info,) = programs(program)
    said = subprocess.run([find("go") or "go", "version", "-m", program], capture_output=True, text=True, check=True)
    head, *lines = said.stdout.splitlines()
    assert head == f"{program}: {info.go}"
    modules = [line.split("\t")[2:] for line in lines if line.startswith(("\tmod", "\tdep"))]
    assert [[m.path, m.version] for m in info.modules] == [found[:2] for found in modules]


@given(st.data())
def test_what_is_no_program_or_is_cut_off_is_no_crash(program: Path, data: st.DataObject) -> None:
    """Programs of a bundle are data of others: any part of one, and any bytes, are read or are none."""
    whole = program.read_bytes()
    start = whole.find(b"\xff Go buildinf:")
    end = data.draw(st.integers(start, min(len(whole), start + 400)))
    assert build_info(whole[start - start % 16 : end]) is None or end > start + 32
    assert build_info(data.draw(st.binary(max_size=64))) is None


def test_source_packages_are_those_of_changelogs() -> None:
    """The first line of a changelog names source and version; what is no changelog names nothing."""
    lines = ["busybox (1:1.37.0-6) unstable; urgency=medium\n\n  * x\n", "no changelog\n", "", "lvm2 (2.03.31-2) x\n"]
    assert source_packages(gzip.compress(line.encode()) for line in lines) == ["busybox=1:1.37.0-6", "lvm2=2.03.31-2"]
