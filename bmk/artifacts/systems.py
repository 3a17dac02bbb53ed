"""Operating systems that bmk makes from Debian packages: the node's, and the install ramdisk. One table entry each.

They are pinned by input: the package lists, and the code that makes them. What came out is recorded in the mirror.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bmk.artifacts.content import sha256_file, sha256_of
from bmk.artifacts.node_image import build_node_image
from bmk.artifacts.ramdisk import AGENT, build_ramdisk

HERE = Path(__file__).parent
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class System:
    """`recipe`: files and directories below the package `bmk` that decide what is made.

    `make(out, suite, say)` returns a version and the files by their name in the mirror.
    """

    recipe: tuple[str, ...]
    make: Callable[[Path, str, Say], tuple[str, Mapping[str, Path]]]
    tools: tuple[str, ...]

    def inputs(self, suite: str) -> str:
        """Digest of the recipe, without the state of the archive: `bmk image build --refresh` looks for updates."""
        return sha256_of([suite, *(f"{path.relative_to(HERE.parent)}:{sha256_file(path)}" for path in self._sources())])

    def _sources(self) -> list[Path]:
        roots = [HERE.parent / name for name in self.recipe]
        files = [path for root in roots for path in ([root] if root.is_file() else root.rglob("*"))]
        return sorted(path for path in files if path.is_file() and "__pycache__" not in path.parts)


def _node(out: Path, suite: str, say: Say) -> tuple[str, Mapping[str, Path]]:
    made = build_node_image(out, suite=suite, say=say)
    return made.version, {"node-image": made.image, "node-rootfs": made.rootfs, "node-packages": made.packages}


def _install(out: Path, suite: str, say: Say) -> tuple[str, Mapping[str, Path]]:
    made = build_ramdisk(out, suite=suite, say=say)
    return made.version, {
        "install-kernel": made.kernel,
        "install-initrd": made.initrd,
        "install-packages": made.packages,
    }


# Not all of node/: a change of what only the ramdisk uses must not rebuild the node image.
_TREE = tuple(f"artifacts/node/{name}" for name in ("customize.sh", "files", "packages.txt", "tools.txt", "tree.py"))
_TOOLS = ("mmdebstrap", "zstd")
_DISK_TOOLS = ("mcopy", "mkfs.vfat", "mmd", "sfdisk")

SYSTEMS: dict[str, System] = {
    "node": System((*_TREE, "artifacts/node/disk.py", "artifacts/node_image.py"), _node, (*_TOOLS, *_DISK_TOOLS)),
    "install": System(("artifacts/node", "artifacts/ramdisk.py", "artifacts/drivers.py", *AGENT), _install, _TOOLS),
}
