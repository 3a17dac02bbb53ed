"""What the agent refuses although it holds a grant."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.agent.errors import AgentError
from bmk.agent.model import Disk, DiskContent, HostNetwork, HostNic, ImageSource, InstallSpec, MachineFacts
from bmk.agent.policy import check_foreign, check_identity
from bmk.agent.probe import judge, parse_blkid
from bmk.agent.tree import describe_tree

NETWORK = HostNetwork("10.0.0.5", 24, "10.0.0.1", ("10.0.0.1",), (), 1500, (HostNic("52:54:00:00:00:01", "lan0"),))
SPEC = InstallSpec("node-1", "node-1", NETWORK, {}, None, ImageSource("http://x/image", "0" * 64), ("ssh-ed25519 A",))
LVM = DiskContent("/dev/sda2", "LVM physical volume", foreign=True)
SWAP = DiskContent("/dev/sda1", "swap", foreign=False)


@given(st.sampled_from([None, "", "S1", "S2"]), st.sampled_from([None, "", "S1"]), st.booleans())
def test_foreign_data_is_lost_only_by_the_name_of_its_disk(
    confirmed: str | None, serial: str | None, lvm: bool
) -> None:
    """A confirmation counts for the very disk it names; the empty one names none."""
    disk = Disk("sda", "/dev/sda", 10**9, serial, findings=(SWAP, LVM) if lvm else (SWAP,))
    allowed = not lvm or (bool(serial) and confirmed == serial)
    spec = replace(SPEC, confirmed=confirmed)
    if allowed:
        check_foreign(disk, spec)
    else:
        with pytest.raises(AgentError) as refused:
            check_foreign(disk, spec)
        assert refused.value.why == "LVM physical volume on /dev/sda2"


def test_another_machines_nics_refuse() -> None:
    """A ramdisk on the wrong machine writes nothing, even when the service let it claim."""
    facts = MachineFacts("u", "s", ("52:54:00:00:00:02",), (), "bios")
    with pytest.raises(AgentError, match="this is not node-1: it has no NIC 52:54:00:00:00:01"):
        check_identity(facts, SPEC)
    check_identity(replace(facts, macs=("52:54:00:00:00:02", "52:54:00:00:00:01")), SPEC)


@pytest.mark.parametrize(
    "kind", ["LVM2_member", "linux_raid_member", "zfs_member", "ceph_bluestore", "crypto_LUKS", "something_new"]
)
def test_every_signature_that_is_not_known_as_harmless_is_foreign(kind: str) -> None:
    """A kind of data that nobody thought of is somebody's data."""
    found = list(judge("/dev/sda1", {"TYPE": kind}, None))
    assert [one.foreign for one in found] == [True]


def test_what_cannot_be_read_is_foreign() -> None:
    """A file system that cannot be mounted, or several signatures at once: refuse."""
    assert next(judge("/dev/sda1", {"TYPE": "ext4"}, lambda *_: None)).foreign
    assert next(judge("/dev/sda1", {"AMBIVALENT": "1"}, None)).foreign


def _tree(root: Path, *files: str) -> Path:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("node-7\n" if name == "etc/hostname" else "x")
    return root


@pytest.mark.parametrize(
    ("files", "ours", "foreign"),
    [
        (["etc/hostname", "var/lib/etcd/member/wal/0.wal"], True, True),
        (["etc/hostname", "var/lib/kubelet/pki/kubelet.crt"], True, True),
        (["etc/hostname", "usr/bin/true"], True, False),
        (["etc/hostname", "usr/bin/true"], False, True),
        (["member/wal/0.wal"], False, True),
        (["photos/1.jpg"], False, True),
        ([], False, False),
    ],
)
def test_what_a_file_system_means(tmp_path: Path, files: list[str], ours: bool, foreign: bool) -> None:
    """A node's root without Kubernetes data may be written anew; with etcd or kubelet data it is the cluster's."""
    (tmp_path / "lost+found").mkdir()
    assert describe_tree("/dev/sda3", "ext4", _tree(tmp_path, *files), ours=ours).foreign is foreign


def test_an_old_disk_cannot_stop_the_installer(tmp_path: Path) -> None:
    """A FIFO, a socket and links as hostname, and links as directories, are not waited for and not followed."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    _tree(outside, "etc/hostname", "hostname")
    (root / "etc").mkdir(parents=True)
    os.mkfifo(root / "etc/hostname")
    assert describe_tree("/dev/sda3", "ext4", root, ours=True).what == "bmk node without Kubernetes data"
    for target in (outside / "etc/hostname", Path("/dev/zero"), Path("hostname")):
        (root / "etc/hostname").unlink()
        (root / "etc/hostname").symlink_to(target)
        assert describe_tree("/dev/sda3", "ext4", root, ours=True).what == "bmk node without Kubernetes data"
    (root / "etc/hostname").unlink()
    (root / "etc/hostname").write_bytes(b"x\x1b]0;y\x07" + b"z" * 10_000_000)
    assert (
        describe_tree("/dev/sda3", "ext4", root, ours=True).what
        == f"bmk node of host x??0?y?{'z' * 56} without Kubernetes data"
    )


@pytest.mark.parametrize("link", ["var", "var/lib/etcd", "var/lib/etcd/member"])
def test_data_may_be_behind_a_link(tmp_path: Path, link: str) -> None:
    """It leads into the ramdisk, so nobody can say what is there: in doubt it is etcd's."""
    (tmp_path / link).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / link).symlink_to("/nowhere")
    assert describe_tree("/dev/sda3", "ext4", tmp_path, ours=True).foreign


@given(
    st.lists(st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="/\0"), min_size=1, max_size=60))
)
def test_names_of_an_old_disk_are_told_plainly(names: list[str]) -> None:
    """Whatever files are called, what is told of them is short and has no control characters."""
    with TemporaryDirectory() as place:
        for name in names:
            if name not in (".", "..") and len(name.encode()) < 256:
                (Path(place) / name).touch()
        text = describe_tree("/dev/sda3", "ext4", Path(place), ours=False).what
    assert text.isprintable()
    assert len(text) < 400


def test_blkid_is_parsed_with_values_that_contain_signs() -> None:
    """Labels may hold anything but a line break."""
    assert parse_blkid("DEVNAME=/dev/sda\nLABEL=a=b c\nTYPE=ext4\n\n") == {
        "DEVNAME": "/dev/sda",
        "LABEL": "a=b c",
        "TYPE": "ext4",
    }
