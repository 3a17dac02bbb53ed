"""The mirror as others see it: variables for Ansible, clear refusals, and what this machine lacks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from bmk.artifacts import gomodules
from bmk.artifacts.lock import Product, load_lock
from bmk.artifacts.mirror import FileArtifact, ImageArtifact, Mirror, load_mirror, open_mirror
from bmk.artifacts.registry import Registry
from bmk.artifacts.work import preflight
from bmk.document import to_yaml
from bmk.errors import ConfigError, DigestMismatch, PreflightRefused


@dataclass
class Deployer:
    address: str = "10.77.0.1"
    http_port: int = 80
    registry_port: int = 5000


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    mirror = Mirror(tmp_path, Registry(tmp_path / "registry"))
    local = tmp_path / "files/tools/v1/tool"
    local.parent.mkdir(parents=True)
    local.write_bytes(b"tool")
    mirror.put(FileArtifact("tool", "v1", "tools/v1/tool", "a" * 64, 4, "place", "b" * 64, local))
    mirror.put_image(ImageArtifact("tool", "v1", "sha256:" + "c" * 64, "d" * 64, 7, "e" * 64))
    return mirror


def test_variables_name_url_digest_version_and_size(mirror: Mirror) -> None:
    """Roles download by URL and compare with the digest; the port is left out where it is HTTP's own."""
    files, images = mirror.as_vars(Deployer())
    url = "http://10.77.0.1/files/tools/v1/tool"
    assert files == {"tool": {"url": url, "sha256": "a" * 64, "version": "v1", "size": 4}}
    assert images == {"tool": "10.77.0.1:5000/tool@sha256:" + "c" * 64}
    assert mirror.as_vars(Deployer(http_port=8080))[0]["tool"]["url"].startswith("http://10.77.0.1:8080/files/")


def test_what_was_recorded_is_read_back_the_same(mirror: Mirror) -> None:
    """The resolved lock survives the process that wrote it."""
    again = open_mirror(mirror.root, mirror.registry.root)
    assert again.files == mirror.files
    assert again.images == mirror.images
    assert again.intact("tool")


def test_an_empty_mirror_refuses_with_the_command_that_fills_it() -> None:
    """Before the first build everybody who asks is told what to type."""
    with pytest.raises(PreflightRefused) as caught:
        load_mirror()
    assert "kubeadm" in caught.value.why
    assert caught.value.hint == "bmk artifacts build"


def test_an_unknown_name_refuses_and_names_it(mirror: Mirror) -> None:
    """A role that asks for a file that nobody makes learns which."""
    with pytest.raises(PreflightRefused, match="'kubelet2'"):
        mirror.file("kubelet2")


def test_missing_tools_are_named() -> None:
    """A machine without a tool is told before anything is made, with one command to type."""
    with pytest.raises(PreflightRefused) as caught:
        preflight(["sh", "no-such-tool"], free=0)
    assert caught.value.what == "not installed: no-such-tool"
    assert "scripts/setup" in caught.value.hint


def test_a_full_disk_is_refused_before_anything_is_made(cache: Path) -> None:
    """The refusal says how much there is, how much it takes, and how to go elsewhere."""
    with pytest.raises(PreflightRefused, match="GiB free") as caught:
        preflight([], free=1 << 60)
    assert caught.value.where == str(cache)
    assert "BMK_CACHE_DIR" in caught.value.hint


def test_link_flags_carry_the_version() -> None:
    """A kubeadm that does not know its version calls itself v0.0.0 and installs the wrong images."""
    flags = gomodules.link_flags(load_lock().products["kubernetes"])
    assert "gitVersion=v1.37.2" in flags
    assert "gitMajor=1" in flags
    assert "gitMinor=37" in flags


def test_the_environment_of_a_build_leaves_nothing_to_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """What changes bytes is set by us; where modules come from stays the user's choice."""
    monkeypatch.setenv("GOFLAGS", "-tags=evil")
    monkeypatch.setenv("GOAMD64", "v3")
    monkeypatch.setenv("GOPROXY", "https://proxy.example.org")
    product = Product(version="v1.0.0", module="example.net/m")
    environment = gomodules.go_environment(product, "1.26.8")
    assert environment["GOFLAGS"] == "-mod=readonly -trimpath -buildvcs=false"
    assert environment["GOAMD64"] == "v1"
    assert environment["CGO_ENABLED"] == "0"
    assert environment["GOTOOLCHAIN"] == "go1.26.8"
    assert environment["GOPROXY"] == "https://proxy.example.org"


def test_compilers_collect_no_garbage_unless_the_user_limits_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What changes no bytes is ours to propose and the user's to say."""
    product = Product(version="v1.0.0", module="example.net/m")
    monkeypatch.delenv("GOGC", raising=False)
    monkeypatch.setenv("GOMEMLIMIT", "300MiB")
    environment = gomodules.go_environment(product, "1.26.8")
    assert (environment["GOGC"], environment["GOMEMLIMIT"]) == ("off", "300MiB")


def test_inputs_change_with_recipe_version_and_toolchain() -> None:
    """Anything that could change the bytes makes a build be done again."""
    product = load_lock().products["runc"]
    variants = {
        gomodules.inputs("runc", product, "1.26.8"),
        gomodules.inputs("runc", product, "1.26.9"),
        gomodules.inputs("runc", product.model_copy(update={"ldflags": "-s"}), "1.26.8"),
        gomodules.inputs("runc", product.model_copy(update={"tags": ("seccomp",)}), "1.26.8"),
        gomodules.inputs("containerd", product, "1.26.8"),
    }
    assert len(variants) == 5


@pytest.mark.parametrize(
    "name", ["GOFLAGS", "CC", "CGO_CFLAGS", "GOTOOLDIR", "GOENV", "GCCGO", "LD_PRELOAD", "GIT_SSH_COMMAND"]
)
def test_no_variable_that_names_a_program_reaches_a_build(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Of the environment a build sees what is on a list; what is not known is not passed."""
    monkeypatch.setenv(name, "/tmp/x")
    product = Product(version="v1.0.0", module="example.net/m")
    assert "/tmp/x" not in gomodules.go_environment(product, "1.26.8").values()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("path", "../../../../etc/shadow"),
        ("version", "../../x"),
        ("sha256", "x"),
        ("source", "a\x1b[2J"),
        ("size", "-1"),
    ],
)
def test_the_record_of_a_bundle_cannot_name_paths_outside(tmp_path: Path, field: str, value: str) -> None:
    """A bundle's words become paths and URLs: what is not of a record's form is refused."""
    entry = {"version": "v1", "path": "a/v1/a", "sha256": "0" * 64, "size": "1", "source": "s", "inputs": ""}
    (tmp_path / "artifacts.resolved.yml").write_text(to_yaml({"files": {"a": entry}}))
    assert open_mirror(tmp_path).files["a"].local == tmp_path / "files/a/v1/a"
    (tmp_path / "artifacts.resolved.yml").write_text(to_yaml({"files": {"a": {**entry, field: value}}}))
    with pytest.raises(ConfigError, match="not one that bmk wrote"):
        open_mirror(tmp_path)


@pytest.mark.parametrize("digest", ["sha256:../../../../etc/shadow", "md5:00", "sha256:" + "0" * 63])
def test_digests_of_a_manifest_are_digests(tmp_path: Path, digest: str) -> None:
    """A manifest names blobs, and digests become paths: another word is refused before a path is made of it."""
    registry = Registry(tmp_path)
    manifest, _ = registry.add_bytes(json.dumps({"config": {"digest": digest, "size": 1}, "layers": []}).encode())
    with pytest.raises(DigestMismatch, match="no manifest"):
        registry.blobs_of(manifest)
