"""A backup in its place: sealed and read back, checked against its record, opened again with a private key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmk.backup.archive import packed, unpack
from bmk.backup.manifest import LARGEST_MANIFEST, MANIFEST, BackupManifest, ManifestFile, parse
from bmk.backup.refusal import refused
from bmk.backup.sealing import Measured, decrypted, encrypt
from bmk.backup.targets import BackupTarget

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Stored:
    """Size in bytes (None: not known) and sha256 of an encrypted file."""

    size: int | None
    sha256: str


def listed(root: Path, names: Sequence[str]) -> tuple[ManifestFile, ...]:
    """Size and digest of each of these files below a directory."""
    return tuple(_file(name, root / name) for name in names)


def seal(target: BackupTarget, root: Path, manifest: BackupManifest, recipients: Sequence[str]) -> Stored:
    """Encrypt what is below `root` into the target, under the manifest's name, and read it back.

    The name appears when all of it is there. BackupRefused("altered") when what is read is not what was written.
    """
    (root / MANIFEST).write_text(manifest.text())
    members = [(MANIFEST, root / MANIFEST), *((file.name, root / file.name) for file in manifest.files)]
    with target.begin(manifest.name) as upload:
        done = encrypt(packed(members), recipients, upload)
        upload.commit()
    stored = Stored(done.size, done.sha256)
    check(target, manifest.name, stored)
    return stored


def check(target: BackupTarget, name: str, stored: Stored) -> None:
    """Raises BackupRefused when what is kept under a name is not what was stored."""
    with target.open(name) as source:
        seen = Measured(source)
        while seen.read(_CHUNK):
            if stored.size is not None and seen.size > stored.size:
                break
    if stored.size is not None and seen.size < stored.size:
        raise refused("truncated", f"{seen.size} of {stored.size} bytes", name)
    if seen.sha256 != stored.sha256:
        raise refused("altered", f"sha256 {seen.sha256[:16]}..., stored was {stored.sha256[:16]}...", name)


def unseal(target: BackupTarget, name: str, identities: Sequence[Any], root: Path, largest: int) -> BackupManifest:
    """Decrypt a backup into a directory, each file compared with the manifest. Raises BackupRefused."""
    known: list[BackupManifest] = []

    def most(member: str) -> int | None:
        if member == MANIFEST:
            return None if known else LARGEST_MANIFEST
        if not known:  # the manifest was first, and is written when the next member comes
            known.append(parse((root / MANIFEST).read_bytes()) if (root / MANIFEST).exists() else _no_manifest())
        file = known[0].sized(member)
        return None if file is None or file.size > largest else file.size

    with target.open(name) as source, decrypted(source, identities) as read:
        found = unpack(read, root, most)
    if not known:
        _no_manifest()
    for file in known[0].files:
        got = found.get(file.name)
        if got is None or (got.size, got.sha256) != (file.size, file.sha256):
            raise refused("incomplete" if got is None else "strange", f"{file.name} is not as the manifest says", name)
    return known[0]


def _no_manifest() -> BackupManifest:
    raise refused("strange", "it does not begin with its manifest")


def _file(name: str, path: Path) -> ManifestFile:
    with path.open("rb") as file:
        seen = Measured(file)
        while seen.read(_CHUNK):
            pass
    return ManifestFile(name=name, size=seen.size, sha256=seen.sha256)
