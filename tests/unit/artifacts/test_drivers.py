"""Which modules and firmware of the node's kernel the install ramdisk takes."""

from __future__ import annotations

import lzma

import pytest

from bmk.artifacts.drivers import decided, depends, firmware, taken

NET = "kernel/drivers/net/ethernet/broadcom"
DEP = f"""\
{NET}/bnx2x/bnx2x.ko.xz: {NET}/../mdio.ko.xz kernel/lib/crc/libcrc32c.ko.xz
kernel/drivers/scsi/lpfc/lpfc.ko.xz: kernel/drivers/nvme/target/nvmet-fc.ko.xz
kernel/drivers/watchdog/iTCO_wdt.ko.xz: kernel/drivers/watchdog/watchdog.ko.xz
"""


@pytest.mark.parametrize(
    ("module", "takes"),
    [
        ("drivers/pci/controller/vmd.ko.xz", True),
        ("drivers/mmc/core/mmc_block.ko.xz", True),
        (f"{NET.removeprefix('kernel/')}/bnx2x/bnx2x.ko.xz", True),
        ("drivers/usb/storage/uas.ko.xz", True),
        ("drivers/usb/typec/typec.ko.xz", False),
        ("drivers/scsi/megaraid/megaraid_sas.ko.xz", True),
        ("drivers/scsi/lpfc/lpfc.ko.xz", False),
        ("drivers/something/new.ko.xz", None),
    ],
)
def test_the_longest_line_decides(module: str, takes: bool | None) -> None:
    """What is behind VMD, on eMMC and on common controllers is driven; what nobody thought of is no decision."""
    assert decided([f"kernel/{module}"]) == {f"kernel/{module}": takes}


def test_what_a_module_needs_comes_along() -> None:
    """And nothing of what is left out."""
    needs = depends(DEP)
    assert taken(needs) == {f"{NET}/bnx2x/bnx2x.ko.xz", *needs[f"{NET}/bnx2x/bnx2x.ko.xz"]}


def test_a_module_names_its_firmware() -> None:
    """As modinfo shows it; a parameter of that name is none."""
    info = b"\x7fELF\0license=GPL\0firmware=bnx2x/e2.fw\0firmware=bnx2x/e1.fw\0parm=firmware=no\0"
    assert firmware(lzma.compress(info)) == {"bnx2x/e1.fw", "bnx2x/e2.fw"}
