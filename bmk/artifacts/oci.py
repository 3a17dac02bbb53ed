"""OCI images of static programs (and of a few unpacked Debian packages), deterministic up to the compressor.

Layers are zstd: containerd pulls them, and on an emulated node they unpack several times faster than gzip.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmk.artifacts import debian
from bmk.artifacts.content import sha256_bytes, sha256_file, sha256_of
from bmk.artifacts.lock import Image
from bmk.artifacts.registry import Registry
from bmk.artifacts.tar import CAP_NET_BIND_SERVICE, TarEntry, write_tar
from bmk.errors import BmkError

RECIPE = 1  # raise it when this module makes other bytes from the same inputs
DEBIAN_RECIPE = 2  # the same, for images with a part from Debian
PACKAGES = "dev.bmk.packages"  # label: source packages that the lower layer was taken from

_PASSWD = (
    b"root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n"
    b"nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"
)
_GROUP = b"root:x:0:\nnogroup:x:65534:\nnonroot:x:65532:\n"
BASE = (
    TarEntry("/etc/passwd", data=_PASSWD, mode=0o644),
    TarEntry("/etc/group", data=_GROUP, mode=0o644),
    TarEntry("/etc/nsswitch.conf", data=b"hosts: files dns\n", mode=0o644),
    TarEntry("/tmp", mode=0o1777),  # noqa: S108 - a directory of the image, not of this machine
)


@dataclass(frozen=True, slots=True)
class Made:
    """What was published: `digest` of the manifest, `id` of the configuration, `size` of all packed layers in bytes."""

    digest: str
    id: str
    size: int


def inputs(image: Image, suite: str, files: Mapping[str, str]) -> str:
    """Digest of all that decides what an image holds; `files`: sha256 by name of the mirror's file."""
    used = {name: files[name] for name in image.files.values()}
    return sha256_of([RECIPE, image.model_dump(exclude={"id"}), [suite, DEBIAN_RECIPE] if image.debian else "", used])


def make(name: str, image: Image, contents: list[list[TarEntry]], work: Path, registry: Registry) -> Made:
    """Build the image in `work` from the entries of its layers, lowest first, and publish it as name:tag."""
    layers = [_layer(work / f"layer{n}.tar", entries) for n, entries in enumerate(contents)]
    taken = debian.unpacked_packages(work / debian.ARCHIVE) if image.debian else []
    config = json.dumps(_config(image, [diff for diff, _ in layers], taken), sort_keys=True).encode()
    config_digest, config_size = registry.add_bytes(config)
    published = [(*registry.add_file(packed), diff) for diff, packed in layers]
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _descriptor("application/vnd.oci.image.config.v1+json", config_digest, config_size),
        "layers": [
            _descriptor("application/vnd.oci.image.layer.v1.tar+zstd", digest, size) for digest, size, _ in published
        ],
    }
    digest = registry.tag(name, image.tag, json.dumps(manifest, sort_keys=True).encode())
    return Made(digest, sha256_bytes(config), sum(size for _, size, _ in published))


def contents(image: Image, suite: str, files: Mapping[str, Path], work: Path) -> list[list[TarEntry]]:
    """Entries of each layer, lowest first. Debian's part is apart, so a new Kubernetes does not move it."""
    links = [TarEntry(path, link=target) for path, target in image.links.items()]
    capability = CAP_NET_BIND_SERVICE if image.binds_low_ports else None
    programs = [
        TarEntry(path, source=files[name], capability=capability if path == image.entrypoint[0] else None)
        for path, name in image.files.items()
    ]
    if not image.debian:
        return [[*BASE, *links, *programs]]
    unpacked = debian.entries(debian.unpack(suite, image.debian, work), work, image.keep)
    lower = [*BASE, *unpacked, *links]
    return [lower, programs] if programs else [lower]


def _layer(target: Path, entries: list[TarEntry]) -> tuple[str, Path]:
    """Digest of the plain tar, and the compressed file."""
    write_tar(target, entries)
    packed = target.with_suffix(".tar.zst")
    command = ["zstd", "--quiet", "--force", "-9", "-T0", str(target), "-o", str(packed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BmkError("zstd failed", where=str(target), why=done.stderr.strip(), hint="is the disk full? see `df -h`")
    digest = f"sha256:{sha256_file(target)}"
    target.unlink()
    return digest, packed


def _config(image: Image, diff_ids: list[str], packages: list[str]) -> dict[str, Any]:
    run: dict[str, Any] = {
        "Entrypoint": list(image.entrypoint),
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "WorkingDir": "/",
    }
    if image.user:
        run["User"] = image.user
    if packages:
        run["Labels"] = {PACKAGES: " ".join(packages)}
    return {
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": run,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "bmk artifacts build"} for _ in diff_ids],
    }


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": size}
