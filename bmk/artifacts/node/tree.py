"""Debian trees, cached by content: the node's root, and the tools that images and ramdisk are made with and of."""

from __future__ import annotations

import importlib.resources
import io
import os
import subprocess
import tarfile
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bmk.artifacts.content import replacing, sha256_of
from bmk.artifacts.node.sources import DebianMirror, find_mirror
from bmk.errors import BmkError

SUITE = "trixie"
EPOCH = 1_793_491_200  # 2026-11-01: no file in an image is younger, so that the same packages make the same bytes
RECIPE = 3  # raise it when the way of building changes, so that caches forget

_DATA = importlib.resources.files("bmk.artifacts.node")
_NAMESPACE = uuid.UUID("6b6d6b00-0000-4000-8000-000000000000")


@dataclass(frozen=True, slots=True)
class ImageIdentity:
    """UUIDs of the image's disk, file systems and partitions. The agent gives each installed disk new ones."""

    disk: str
    root: str
    esp: str  # FAT volume id, XXXX-XXXX

    @classmethod
    def derived(cls) -> ImageIdentity:
        """The same for every build, so that builds can be compared."""
        esp = uuid.uuid5(_NAMESPACE, "esp").hex[:8].upper()
        return cls(str(uuid.uuid5(_NAMESPACE, "disk")), str(uuid.uuid5(_NAMESPACE, "root")), f"{esp[:4]}-{esp[4:]}")


def packages(name: str) -> list[str]:
    """Package names from one of our lists."""
    lines = (line.split("#")[0].strip() for line in (_DATA / name).read_text().splitlines())
    return [line for line in lines if line]


def node_key(suite: str) -> str:
    """Digest of all that decides what the node's root holds, but for the archive's state."""
    return sha256_of([RECIPE, suite, packages("packages.txt"), _customize(), _overlay()])[:24]


def tools_key(suite: str) -> str:
    """Digest of all that decides what the tools are."""
    return sha256_of([RECIPE, suite, packages("tools.txt")])[:24]


def node_tree(cache: Path, suite: str = SUITE) -> Path:
    """Tar of the node's root file system; made once per content (90 s)."""
    target = cache / f"node-{node_key(suite)}.tar"
    components = "main non-free-firmware"  # the second only for what NICs and disks load (packages.txt)
    if not target.exists():
        with TemporaryDirectory(prefix="bmk-node-") as scratch:
            overlay = Path(scratch, "overlay.tar")
            _write_overlay(overlay, _overlay())
            hooks = [f"--setup-hook=tar-in {overlay} /", f"--customize-hook={_customize()}"]
            _mmdebstrap(target, (suite, components), "minbase", packages("packages.txt"), hooks)
    return target


def tools_tree(cache: Path, suite: str = SUITE) -> Path:
    """Directory with the tools unpacked, owned by whoever runs this; made once per content (30 s)."""
    target = cache / f"tools-{tools_key(suite)}"
    if not target.exists():
        archive = cache / f"tools-{tools_key(suite)}.tar"
        _mmdebstrap(archive, (suite, "main"), "extract", packages("tools.txt"), [])
        with replacing(target) as part:
            part.mkdir()
            _run(["tar", "--extract", "--no-same-owner", "--exclude=./dev", "--file", archive, "--directory", part])
        archive.unlink()
    return target


def tool(tools: Path, program: str) -> list[str]:
    """Command that runs a program of the tools with its own libraries: no chroot, no root, no version of the host's."""
    libraries = tools / "usr/lib/x86_64-linux-gnu"
    return [str(libraries / "ld-linux-x86-64.so.2"), "--library-path", str(libraries), str(tools / program)]


def run_tool(tools: Path, program: str, *arguments: object, **environment: str) -> str:
    """Run it and return its stdout. Raises BmkError with the last line of its stderr."""
    return _run([*tool(tools, program), *map(str, arguments)], {"SOURCE_DATE_EPOCH": str(EPOCH), **environment})


def member(archive: Path, name: str) -> bytes:
    """Bytes of one regular file of a tree's tar."""
    with tarfile.open(archive) as tar:
        stream = tar.extractfile(f"./{name}")
        return stream.read() if stream else b""


def _mmdebstrap(
    target: Path, source: tuple[str, str], variant: str, names: Iterable[str], hooks: Iterable[str]
) -> None:
    """A tar of packages. `source`: suite and components."""
    target.parent.mkdir(parents=True, exist_ok=True)
    mirror = find_mirror()
    command = ["mmdebstrap", "--mode=auto", "--quiet", "--format=tar", f"--variant={variant}"]
    command += [f"--include={','.join(names)}", *hooks]
    # Hands over to stdout: in its namespace mmdebstrap may not write where we may.
    with replacing(target) as part, part.open("wb") as out:
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH), "LC_ALL": "C.UTF-8"}
        command += [source[0], "-", *mirror.lines(*source)]
        done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, env=environment, check=False)
        if done.returncode != 0:
            raise BmkError(
                f"could not make a Debian {source[0]} tree",
                where="mmdebstrap",
                why=_reason(done.stderr, mirror),
                hint=f"does the mirror have {source[1]}? apt-get update tells; BMK_DEBIAN_MIRROR names another one",
            )


def _reason(stderr: bytes, mirror: DebianMirror) -> str:
    lines = [line for line in stderr.decode(errors="replace").splitlines() if line.startswith(("E:", "Err:"))]
    text = "; ".join(lines[:3]) or stderr.decode(errors="replace").strip()[-300:]
    for uri in mirror.private():
        text = text.replace(uri, "the mirror")
    return text


def _customize() -> str:
    return (_DATA / "customize.sh").read_text()


def _overlay() -> Mapping[str, str]:
    """Path -> text of the files that every node has before its packages are installed."""
    identity = ImageIdentity.derived()
    root = Path(str(_DATA / "files"))
    texts = {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}
    return {p: t.replace("@ROOT_UUID@", identity.root).replace("@ESP_UUID@", identity.esp) for p, t in texts.items()}


def _write_overlay(target: Path, files: Mapping[str, str]) -> None:
    with tarfile.open(target, "w") as tar:
        for path in sorted({str(parent) for name in files for parent in Path(name).parents} - {"."}):
            info = tarfile.TarInfo(path)
            info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, EPOCH
            tar.addfile(info)
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(text.encode()), 0o644, EPOCH
            tar.addfile(info, io.BytesIO(text.encode()))


def _run(command: list[str | Path], environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})}
    )
    if done.returncode != 0:
        said = [line for line in done.stderr.strip().splitlines() if line]
        name = next((str(part) for part in command if "/ld-linux" not in str(part) and str(part)[:2] != "--"), "")
        raise BmkError(f"{Path(name).name} failed", why=said[-1] if said else f"exit {done.returncode}")
    return done.stdout


def discard_old(cache: Path, keep: Iterable[Path]) -> None:
    """Trees of earlier recipes: hundreds of MB each."""
    kept = {path.name for path in keep}
    for path in cache.glob("node-*.tar"):
        if path.name not in kept:
            with suppress(OSError):
                path.unlink()
