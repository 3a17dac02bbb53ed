"""The node's operating system, made once and installed everywhere: whole-disk image, and root for system containers.

`python -m bmk.artifacts.node_image --out DIR [--cache DIR]`
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import struct
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bmk.artifacts.content import replacing, sha256_of
from bmk.artifacts.node.disk import Parts, make_disk
from bmk.artifacts.node.sources import find_mirror
from bmk.artifacts.node.tree import EPOCH, SUITE, ImageIdentity, member, node_key, node_tree, tools_key, tools_tree
from bmk.errors import BmkError
from bmk.paths import cache_dir

SKIPPABLE = 0x184D2A50  # a zstd frame that decoders skip; ours says what the raw bytes must be
FORMAT = "bmk-image/1"
LEVEL = 12

# A container has its host's kernel; without these the root is half as large.
_NOT_IN_CONTAINERS = (
    "./boot/",
    "./usr/lib/modules/",
    "./usr/lib/firmware/",
    "./usr/lib/grub/",
    "./usr/lib/shim/",
    "./etc/grub.d/enable_cloud",
)
_EMPTY_IN_CONTAINERS = ("./etc/fstab",)


@dataclass(frozen=True, slots=True)
class NodeImage:
    """What a build made. `version` changes exactly when the packages or the recipe do."""

    image: Path  # node-image: raw whole disk, zstd, led by a frame {format, raw_size, raw_sha256}
    rootfs: Path  # node-rootfs: tar, zstd
    packages: Path  # node-packages: name=version, one per line, sorted
    kernel: str  # its release, such as 6.12.117+deb13-amd64
    version: str


def build_node_image(
    out: Path, cache: Path | None = None, *, suite: str = SUITE, say: Callable[[str], None] = lambda _: None
) -> NodeImage:
    """Make `out`/node-image.zst, node-rootfs.tar.zst and node-packages; 3 min cold on two cores, seconds when cached.

    Needs no root (mmdebstrap chooses its mode), no mounts, no loop device. `cache` keeps Debian trees by the content of
    what decides them. Raises BmkError with the reason of the tool that failed.
    """
    cache = cache or cache_dir() / "build" / "debian"
    out.mkdir(parents=True, exist_ok=True)
    say(f"Debian {suite}: node's root file system")
    tree = node_tree(cache, suite)
    refuse_private(tree)
    say(f"Debian {suite}: tools")
    tools = tools_tree(cache, suite)
    names = member(tree, "usr/share/bmk-packages").decode()
    result = NodeImage(
        out / "node-image.zst", out / "node-rootfs.tar.zst", out / "node-packages",
        kernel=_kernel(names), version=sha256_of([node_key(suite), tools_key(suite), names])[:12],
    )  # fmt: skip
    result.packages.write_text(names)
    say("root for system containers")
    _rootfs(tree, result.rootfs)
    say("whole-disk image")
    with TemporaryDirectory(prefix="bmk-image-", dir=cache) as work:
        raw = Path(work, "disk.raw")
        make_disk(Parts(tree, tools, Path(work), ImageIdentity.derived()), raw)
        compress_image(raw, result.image)
    return result


def compress_image(raw: Path, target: Path) -> None:
    """zstd with a leading frame that says size and digest of the raw bytes, so that a read-back can be judged."""
    with raw.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    about = json.dumps({"format": FORMAT, "raw_size": raw.stat().st_size, "raw_sha256": digest}).encode()
    with replacing(target) as part, part.open("wb") as out:
        out.write(struct.pack("<II", SKIPPABLE, len(about)) + about)
        out.flush()
        _zstd(["zstd", "-q", f"-{LEVEL}", "-T0", "-c", str(raw)], out.fileno())


def _rootfs(tree: Path, target: Path) -> None:
    """The tree without what only a machine with a boot loader needs."""
    with replacing(target) as part, part.open("wb") as out:
        command = ["zstd", "-q", f"-{LEVEL}", "-T0", "-c"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out) as zstd:
            if zstd.stdin is None:
                raise BmkError("zstd takes no input")
            with (
                tarfile.open(tree) as source,
                tarfile.open(fileobj=zstd.stdin, mode="w|", format=tarfile.PAX_FORMAT) as tar,
            ):
                for info in _for_containers(source):
                    tar.addfile(info, source.extractfile(info) if info.isreg() and info.size else None)
            zstd.stdin.close()
        if zstd.returncode != 0:
            raise BmkError("zstd failed", why=f"exit {zstd.returncode}")


def _for_containers(source: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for info in source:
        if info.name.startswith(_NOT_IN_CONTAINERS) or info.name in _NOT_IN_CONTAINERS:
            continue
        if info.name in _EMPTY_IN_CONTAINERS:
            info.size = 0
        yield info


def _zstd(command: list[str], stdout: int) -> None:
    if subprocess.run(command, stdout=stdout, check=False).returncode != 0:
        raise BmkError("zstd failed", hint="is there room on the disk?")


def _kernel(names: str) -> str:
    """Release of the kernel among name=version lines."""
    for line in names.splitlines():
        name = line.partition("=")[0]
        if name.startswith("linux-image-") and name[12:13].isdigit():
            return name.removeprefix("linux-image-")
    raise BmkError("the node's root holds no kernel")


def refuse_private(tree: Path) -> None:
    """Raise BmkError if the address of this machine's own mirror got into the tree's configuration or state."""
    needles = [uri.encode() for uri in find_mirror().private()]
    with tarfile.open(tree) as tar:
        for info in tar:
            if needles and info.isreg() and info.name.startswith(("./etc/", "./var/")):
                stream = tar.extractfile(info)
                data = stream.read() if stream else b""
                if any(needle in data for needle in needles):
                    raise BmkError("the node's root names this machine's Debian mirror", where=info.name.lstrip("."))


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def main(arguments: list[str] | None = None) -> None:
    """Build and print what was made as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bmk.artifacts.node_image", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--suite", default=SUITE)
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("SOURCE_DATE_EPOCH", str(EPOCH))
    made = build_node_image(chosen.out, chosen.cache, suite=chosen.suite, say=_say)
    sys.stdout.write(
        json.dumps({name: str(getattr(made, name)) for name in made.__dataclass_fields__}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
