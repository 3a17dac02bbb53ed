"""The storage directory of docker-registry: bmk writes images straight into it, and the daemon serves what is there.

Its layout is the registry's own, stable since version 2.0: blobs by digest, and small `link` files that say which blob
a repository's layer, manifest or tag is. Blobs come first and the tag last, each by rename: a reader (or a killed
writer) never sees an image that is not whole, and no daemon has to run while images are made.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from bmk.artifacts.content import place, replacing, require_digest, sha256_bytes, sha256_file
from bmk.document import parse_json
from bmk.errors import ConfigError, DigestMismatch

_HINT = "bmk artifacts build (it makes again what is damaged)"


class _Blob(BaseModel):
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0)]


class _Manifest(BaseModel):
    """What of an image's manifest names blobs. It may come from a bundle, and digests become paths."""

    config: _Blob
    layers: tuple[_Blob, ...]

    def blobs(self) -> list[str]:
        return [self.config.digest, *(layer.digest for layer in self.layers)]


@dataclass(frozen=True, slots=True)
class Registry:
    """`root` is what docker-registry's `storage.filesystem.rootdirectory` names."""

    root: Path

    def blob(self, digest: str) -> Path:
        """Where the bytes of `sha256:<hex>` are, or would be."""
        value = digest.removeprefix("sha256:")
        return self._v2 / "blobs/sha256" / value[:2] / value / "data"

    def add_file(self, source: Path) -> tuple[str, int]:
        """Move a file in; returns its digest (`sha256:<hex>`) and size."""
        digest, size = f"sha256:{sha256_file(source)}", source.stat().st_size
        place(source, self.blob(digest))
        return digest, size

    def add_bytes(self, data: bytes) -> tuple[str, int]:
        digest = f"sha256:{sha256_bytes(data)}"
        _write(self.blob(digest), data)
        return digest, len(data)

    def tag(self, name: str, tag: str, manifest: bytes) -> str:
        """Publish a manifest whose blobs are already in. Returns its digest."""
        repository = self._v2 / "repositories" / name
        digest, _ = self.add_bytes(manifest)
        for blob in _manifest(manifest, f"{name}:{tag}").blobs():
            _write(_link(repository / "_layers", blob), blob.encode())
        _write(_link(repository / "_manifests/revisions", digest), digest.encode())
        _write(_link(repository / f"_manifests/tags/{tag}/index", digest), digest.encode())
        _write(repository / f"_manifests/tags/{tag}/current/link", digest.encode())
        return digest

    def take(self, other: Registry, image: str, digest: str) -> None:
        """Copy `image` (name:tag) from another storage directory, checking every blob on the way."""
        name, _, tag = image.partition(":")
        for blob, _ in other.verify(image, digest):
            if blob != digest:
                with replacing(self.blob(blob)) as part:
                    shutil.copyfile(other.blob(blob), part)
        self.tag(name, tag, other.blob(digest).read_bytes())

    def complete(self, name: str, tag: str, digest: str) -> bool:
        """Whether the tag points at `digest` and every blob is there with its size. Reads no layer."""
        current = self._v2 / "repositories" / name / f"_manifests/tags/{tag}/current/link"
        if not current.is_file() or current.read_text() != digest or not self.blob(digest).is_file():
            return False
        manifest = _manifest(self.blob(digest).read_bytes(), f"{name}:{tag}")
        stored = [(self.blob(part.digest), part.size) for part in (manifest.config, *manifest.layers)]
        return all(path.is_file() and path.stat().st_size == size for path, size in stored)

    def verify(self, image: str, digest: str) -> Iterator[tuple[str, int]]:
        """Hash manifest, configuration and layers; yields (digest, bytes). DigestMismatch names image and blob."""
        manifest_file = self.blob(digest)
        require_digest(manifest_file, digest.removeprefix("sha256:"), name=f"image {image}: manifest", hint=_HINT)
        yield digest, manifest_file.stat().st_size
        for blob in _manifest(manifest_file.read_bytes(), image).blobs():
            path = self.blob(blob)
            require_digest(path, blob.removeprefix("sha256:"), name=f"image {image}: blob {blob[:19]}", hint=_HINT)
            yield blob, path.stat().st_size

    def blobs_of(self, digest: str) -> list[str]:
        """The manifest's own digest and those of all it names."""
        return [digest, *_manifest(self.blob(digest).read_bytes(), digest).blobs()]

    def blobs(self) -> Iterator[Path]:
        """Every blob in the storage, used or not."""
        return self._v2.glob("blobs/sha256/*/*/data")

    @property
    def _v2(self) -> Path:
        return self.root / "docker/registry/v2"


def _manifest(text: bytes, image: str) -> _Manifest:
    try:
        return _Manifest.model_validate(parse_json(text, image))
    except (ValidationError, ConfigError) as error:
        raise DigestMismatch("this is no manifest of an image", where=image, hint=_HINT) from error


def _link(parent: Path, digest: str) -> Path:
    return parent / "sha256" / digest.removeprefix("sha256:") / "link"


def _write(path: Path, data: bytes) -> None:
    with replacing(path) as part:
        part.write_bytes(data)
