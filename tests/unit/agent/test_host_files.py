"""What makes a written image one host: files, partition table, boot order."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bmk.agent.boot_order import order, ours
from bmk.agent.configure import HostFile, host_files, write_files
from bmk.agent.model import HostNetwork, HostNic, ImageSource, InstallSpec
from bmk.agent.partitions import grown, partition
from bmk.agent.progress import INTERVAL, Progress

GOLDEN = Path(__file__).parent / "golden"
NICS = (HostNic("52:54:00:00:00:01", "lan0"), HostNic("52:54:00:00:00:02", "lan1"))
NETWORK = HostNetwork("10.77.0.11", 24, "10.77.0.1", ("10.77.0.1", "10.77.0.2"), ("10.77.0.1",), 9000, NICS)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBmk deployer"
SPEC = InstallSpec("cp-1", "cp-1", NETWORK, {}, None, ImageSource("http://x/image", "0" * 64), (KEY,))
DUMP = """\
label: gpt
label-id: 79DB6138-6F5C-5290-A62C-B862F24560F6
device: /dev/vda
unit: sectors
first-lba: 34
last-lba: 2439134
sector-size: 512

/dev/vda1 : start=        2048, size=        2048, type=21686148-6449-6E6F-744E-656564454649, uuid=79DB6138-6F5C-5290-A62C-B862F24560F1, name="bmk-bios"
/dev/vda2 : start=        4096, size=       98304, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=79DB6138-6F5C-5290-A62C-B862F24560F2, name="bmk-esp"
/dev/vda3 : start=      102400, size=     2334720, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, uuid=79DB6138-6F5C-5290-A62C-B862F24560F3, name="bmk-root"
"""  # noqa: E501 - as sfdisk prints it
BOOT = """\
BootCurrent: 0001
Timeout: 0 seconds
BootOrder: 0003,0001,0000
Boot0000* UiApp\tFvVol(7cb8bdc9)/FvFile(462caa21)
Boot0001* UEFI PXEv4 (MAC:525400000001)\tPciRoot(0x0)/Pci(0x2,0x0)/MAC(525400000001,1)/IPv4
Boot0003* bmk\tHD(2,GPT,aa,0x1000,0x18000)/File(\\EFI\\debian\\shimx64.efi)
"""


def test_a_host_is_what_the_golden_files_say() -> None:
    """Every file that the agent writes into a node, as a person can review it."""
    said = "".join(
        f"--- {name} {file.mode:o}\n{file.text}" for name, file in host_files(SPEC, machine_id="0" * 32).items()
    )
    assert said == (GOLDEN / "host_files.txt").read_text()


def test_a_machine_id_is_never_given_twice() -> None:
    """Two hosts from one image are two machines to systemd, DHCP and the journal."""
    seen = {host_files(SPEC)["etc/machine-id"].text for _ in range(50)}
    assert len(seen) == 50
    assert all(re.fullmatch(r"[0-9a-f]{32}\n", text) for text in seen)


def test_writing_replaces_links_instead_of_following_them(tmp_path: Path) -> None:
    """A link in the image cannot lead a write out of the written system."""
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/resolv.conf").symlink_to(outside)
    write_files(
        tmp_path / "root", {"etc/resolv.conf": HostFile("new"), "root/.ssh/authorized_keys": HostFile("k", 0o600)}
    )
    assert outside.read_text() == "untouched"
    assert (tmp_path / "root/etc/resolv.conf").read_text() == "new"
    assert (tmp_path / "root/root/.ssh").stat().st_mode & 0o777 == 0o700


def test_the_grown_table_keeps_places_and_renews_identity() -> None:
    """Partitions stay where they are, only the root loses its size (it takes the rest), and no UUID is the image's."""
    script = grown(DUMP)
    assert re.findall(r"start=\s*(\d+)", script) == ["2048", "4096", "102400"]
    assert re.findall(r"size=\s*(\d+)", script) == ["2048", "98304"]
    uuids = re.findall(r"(?:uuid=|label-id: )(\S+?)(?:,|\n)", script)
    assert len(set(uuids)) == 4
    assert not any(uuid in DUMP for uuid in uuids)
    assert "last-lba" not in script


@given(
    st.sampled_from([("/dev/sda", "/dev/sda3"), ("/dev/nvme0n1", "/dev/nvme0n1p3"), ("/dev/mmcblk0", "/dev/mmcblk0p3")])
)
def test_partitions_are_named_as_the_kernel_does(pair: tuple[str, str]) -> None:
    """Disks whose names end in a digit put a p before the number."""
    assert partition(pair[0], 3) == pair[1]


def test_the_boot_order_is_read_from_efibootmgr() -> None:
    """Labels in the order the firmware tries them, and which entries earlier installs left."""
    assert order(BOOT) == ["bmk", "UEFI PXEv4 (MAC:525400000001)", "UiApp"]
    assert ours(BOOT) == ["0003"]


@given(st.lists(st.floats(0, 3), min_size=1, max_size=50))
def test_progress_is_told_at_most_once_per_interval_and_at_the_end(steps: list[float]) -> None:
    """A fast disk does not flood the journal, and the last report always says everything is done."""
    now, told = [0.0], []
    progress = Progress(lambda report: told.append((now[0], report)), "image", len(steps), clock=lambda: now[0])
    for number, step in enumerate(steps, 1):
        now[0] += step
        progress.at(number)
    between = [later - earlier for (earlier, _), (later, _) in pairwise(told)]
    assert all(gap >= INTERVAL - 1e-6 for gap in between)
    progress.end(len(steps))
    assert told[-1][1]["bytes"] == len(steps)
