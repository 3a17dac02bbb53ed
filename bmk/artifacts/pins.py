"""What the lock accepts for a file or an image: the only decision on whether bytes may be used."""

from __future__ import annotations

from pathlib import Path

from bmk.artifacts import gomodules
from bmk.artifacts.content import sha256_of
from bmk.artifacts.lock import Archive, Image, Lock, LockedFile, Product, Upstream
from bmk.artifacts.mirror import FileArtifact, Mirror


def pin_of(lock: Lock, file: str) -> tuple[str, Product, LockedFile | Archive]:
    """Name of the product, the product and the pin of a file."""
    name, product = lock.product_of(file)
    return name, product, product.outputs()[file]


def accepts(lock: Lock, artifact: FileArtifact) -> bool:
    """Whether a recorded file is one that the lock names: by its digest, by its inputs, or by upstream's release."""
    name, product, pin = pin_of(lock, artifact.name)
    if artifact.version != product.version:
        return False
    if pin.sha256 is not None and artifact.sha256 == pin.sha256:
        return True
    if pin.upstream is not None and pin.upstream.sha256 and artifact.inputs == upstream_inputs(pin.upstream):
        return True
    return pin.sha256 is None and artifact.inputs == gomodules.inputs(name, product, lock.go)


def upstream_inputs(upstream: Upstream) -> str:
    """Stands for the release file that a file was taken from; the lock pins that release by digest."""
    return sha256_of(["upstream", upstream.sha256, upstream.member])


def pinned_id(lock: Lock, image: Image, mirror: Mirror) -> str | None:
    """The id that an image must come out with. Upstream's builds of the same programs give another one: then None."""
    own = all(mirror.files[file].sha256 == pin_of(lock, file)[2].sha256 for file in image.files.values())
    return image.id if own else None


def relative_path(name: str, product: Product, file: str, made: Path) -> str:
    """Where a file lies below mirror/files: product/version/file, with the suffix of an archive."""
    packed = product.archive is not None and file == product.archive.name
    return f"{name}/{product.version}/{file}{made.suffix if packed else ''}"
