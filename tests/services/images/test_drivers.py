"""The real node image and the real install ramdisk, compared: what the one drives, the other has to reach."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bmk.artifacts.drivers import FIRMWARE, decided, depends, firmware, taken
from bmk.artifacts.node.tree import node_tree
from bmk.paths import cache_dir

pytestmark = pytest.mark.services
MAGIC = b"070701"  # of a member of an initramfs
# Firmware that a module of the ramdisk may ask for and the node image does not have. Prefix -> why.
WITHOUT = {
    "acenic/": "in no package of Debian; cards of 1999",
    "adaptec/": "in no package of Debian; starfire runs without",
    "aic94xx": "in no package of Debian",
    "cis/": "PCMCIA cards",
    "ene-ub6250/": "card readers",
    "netronome/": "140 MB; the card has one in its flash",
    "ositech/": "PCMCIA cards",
    "renesas_usb_fw": "in no package of Debian; from the controller's own ROM on servers",
    "sun/": "in no package of Debian",
    "wd719x": "in no package of Debian",
}


class Node:
    """The node's tree, read once."""

    def __init__(self, tree: Path) -> None:
        with tarfile.open(tree) as tar:
            members = {info.name[2:]: info for info in tar if not info.isdir()}

            def read(name: str) -> bytes:
                stream = tar.extractfile(members[name])
                return stream.read() if stream else b""

            dep = next(name for name in members if name.endswith("/modules.dep"))
            self.base = dep.removesuffix("modules.dep")
            self.needs = depends(read(dep).decode())
            self.taken = taken(self.needs)
            initrd = next(name for name in members if name.startswith("boot/initrd.img-"))
            self.boots_with = {self.module(name) for name in names(read(initrd)) if ".ko" in name}
            self.asked = {name for module in self.taken for name in firmware(read(self.base + module))}
            self.firmware = {name.removeprefix(FIRMWARE) for name in members if name.startswith(FIRMWARE)}

    def module(self, path: str) -> str:
        return f"kernel/{path.partition('/kernel/')[2]}"


def names(archive: bytes) -> Iterator[str]:
    """Paths in the uncompressed archives that an initramfs begins with: modules, which are compressed already."""
    at = 0
    while archive[at : at + 6] == MAGIC:
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        size, length = fields[6], fields[11]
        yield archive[at + 110 : at + 109 + length].decode()
        at += -(-(110 + length) // 4) * 4
        at += -(-size // 4) * 4
        while archive[at : at + 4] == bytes(4):
            at += 4


@pytest.fixture(scope="module")
def node() -> Node:
    return Node(node_tree(cache_dir() / "build" / "debian"))


def test_every_driver_that_a_node_boots_with_is_a_decision(node: Node) -> None:
    """A disk or NIC that the installed system drives, the ramdisk drives too, or modules.txt says why it need not."""
    assert len(node.boots_with) > 500
    open_ = [module for module, takes in decided(sorted(node.boots_with - node.taken)).items() if takes is not False]
    assert open_ == []


@pytest.mark.parametrize(
    "module", ["vmd", "mmc_block", "sdhci-pci", "bnx2x", "megaraid_sas", "mpt3sas", "nvme", "loop"]
)
def test_common_hardware_is_driven(node: Node, module: str) -> None:
    """What rooms are full of."""
    assert module in {Path(name).name.partition(".")[0] for name in node.taken}


def test_what_drivers_load_is_there(node: Node) -> None:
    """Firmware that a module of the ramdisk names is in the node image, from where the ramdisk takes it."""
    missing = {name for name in node.asked - node.firmware if not name.startswith(tuple(WITHOUT))}
    assert missing == set()
    assert any(name.startswith("bnx2x/bnx2x-e2-") for name in node.asked & node.firmware)


def test_no_exception_is_left_over(node: Node) -> None:
    """Each one is still asked for, and still not there."""
    for prefix in WITHOUT:
        assert any(name.startswith(prefix) for name in node.asked - node.firmware), prefix
