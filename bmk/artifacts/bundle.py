"""One tar with everything that a data center without internet needs.

It holds the mirror's files, the images' blobs, the resolved lock and the lock itself. The tar is not compressed: layers
and node images are. A reader checks every byte against the resolved lock, and that against the lock in use. What the
lock pins only by input has no digest there: compare the digest that `bundle` prints.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bmk.artifacts.content import replacing, require_digest, sha256_file
from bmk.artifacts.mirror import Mirror, open_mirror
from bmk.errors import BmkError, ConfigError, DigestMismatch
from bmk.paths import cache_dir

RESOLVED = "mirror/artifacts.resolved.yml"


def write_bundle(mirror: Mirror, lock: Path, target: Path) -> str:
    """Check everything, then write the bundle; returns the sha256 of its resolved lock. DigestMismatch if damaged."""
    for *_, problem in mirror.verify():
        if problem is not None:
            raise problem
    with replacing(target) as part, tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.add(lock, "artifacts.lock", filter=_plain)
        tar.add(mirror.root / "artifacts.resolved.yml", RESOLVED, filter=_plain)
        for file in mirror.files.values():
            tar.add(file.local, f"mirror/files/{file.path}", filter=_plain)
        for path in _registry_files(mirror):
            tar.add(path, f"registry/{path.relative_to(mirror.registry.root)}", filter=_plain)
    return sha256_file(mirror.root / "artifacts.resolved.yml")


@contextmanager
def opened(source: Path, expected: str | None = None) -> Iterator[tuple[Path, Mirror | None]]:
    """A directory or a bundle as (its directory, its mirror); None: a directory of plain files.

    `expected`: sha256 of the resolved lock, as `bmk artifacts bundle` printed it where the bundle was made.
    """
    if source.is_dir():
        yield source, _mirror_in(source, expected)
        return
    if not source.is_file():
        raise ConfigError("no such directory or bundle", where=str(source), hint="bmk artifacts bundle FILE makes one")
    scratch = cache_dir() / "build"
    scratch.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=scratch, prefix="bundle-") as unpacked:
        _unpack(source, Path(unpacked))
        yield Path(unpacked), _mirror_in(Path(unpacked), expected)


def _unpack(source: Path, into: Path) -> None:
    try:
        with tarfile.open(source) as tar:
            tar.extractall(into, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DigestMismatch(
            "the bundle is cut off or not a tar", where=str(source), why=str(error), hint="copy it again"
        ) from error


def _mirror_in(root: Path, expected: str | None) -> Mirror | None:
    resolved = root / RESOLVED
    if not resolved.is_file():
        if expected is not None:
            raise BmkError(
                "there is no resolved lock to compare with --sha256", where=str(root), hint="leave --sha256 out"
            )
        return None
    if expected is not None:
        require_digest(
            resolved, expected, name="the bundle's resolved lock", hint="this is not the bundle you were told about"
        )
    return open_mirror(root / "mirror", root / "registry")


def _registry_files(mirror: Mirror) -> Iterator[Path]:
    """Blobs that the images use. The reader makes the links anew."""
    blobs = {blob for image in mirror.images.values() for blob in mirror.registry.blobs_of(image.digest)}
    return (mirror.registry.blob(blob) for blob in sorted(blobs))


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info
